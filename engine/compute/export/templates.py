"""The parts of which `load.py` is put together: text with `{fields}` for `str.format`, or text as it is."""

DOC = '''"""A compressed network, {what}, as secateur {version} wrote it.

Needs nothing but {needs}:

    from load import CLASSES, load, preprocess

    model = load()                       # {options}
    outputs = model(preprocess(images))  # images: {kind} (N, {channels}, {height}, {width}); outputs: {outputs}

{note}
"""

import hashlib
{modules}from pathlib import Path

{imports}

FILE = "{file}"
SHA256 = {sums}
"""Of the files beside this one."""
CLASSES = {classes}
"""Names of the classes, in the order of the outputs."""
CHANNELS, HEIGHT, WIDTH = {channels}, {height}, {width}
BLACK, WHITE = {black}, {white}
"""The pixels' values that are 0 and 1 to MEAN and STD, which are by channel."""
MEAN = {mean}
STD = {std}
'''

PREPROCESS_DOC = '''
    """Pixels, {kind} (N, CHANNELS, HEIGHT, WIDTH), as the network wants them: float32, less MEAN and over STD.

    Images of another size are first {resizing}.
    """
    if tuple(images.shape[1:]) != (CHANNELS, HEIGHT, WIDTH):
        raise ValueError(f"images are (N, {{CHANNELS}}, {{HEIGHT}}, {{WIDTH}}), not {{tuple(images.shape)}}")
    span = WHITE - BLACK'''
PREPROCESS_TORCH = (
    """
def preprocess(images):"""
    + PREPROCESS_DOC
    + """
    mean = torch.tensor(MEAN, device=images.device)
    std = torch.tensor(STD, device=images.device)
    scale, shift = 1 / (span * std), (mean + BLACK / span) / std
    return images.to(torch.float32) * scale.view(1, -1, 1, 1) - shift.view(1, -1, 1, 1)
"""
)
PREPROCESS_NUMPY = (
    """
def preprocess(images):"""
    + PREPROCESS_DOC
    + """
    mean = numpy.array(MEAN, numpy.float32)
    std = numpy.array(STD, numpy.float32)
    scale, shift = 1 / (span * std), (mean + BLACK / span) / std
    return images.astype(numpy.float32) * scale.reshape(1, -1, 1, 1) - shift.reshape(1, -1, 1, 1)
"""
)

LOAD_SAFETENSORS = '''
def load(folder=None, device="cpu", verify=True):
    """The network with its weights, in eval mode; `folder` holds them, by default this file's own.

    Raises ValueError when the weights are not those that this file was written for.
    """
    place = _place(folder, verify)
    model = Model()
    load_model(model, place / FILE)
    return model.to(device).eval()
'''
LOAD_PACKED = '''
def load(folder=None, device="cpu", verify=True):
    """The network with its weights, in eval mode; `folder` holds them, by default this file's own.

    Raises ValueError when the weights are not those that this file was written for.
    """
    model = Model()
    model.load_state_dict(state_dict(folder, verify))
    return model.to(device).eval()


def state_dict(folder=None, verify=True):
    """The network's tensors by name, bit for bit those that it was written with."""
    file = _place(folder, verify) / FILE
    state = {}
    for name, (dtype, array) in unpack(file.read_bytes()).items():
        state[name] = torch.from_numpy(array).view(getattr(torch, dtype))
    state |= {name: state[other] for name, other in SHARED.items()}
    for name in DICTIONARIES:
        entries, scales, index = (state.pop(f"{name}.{part}") for part in ("entries", "scales", "index"))
        state[name] = entries[index.long()] * scales[:, :, None, None]
    return state
'''
PACKED_NAMES = '''
DICTIONARIES = {dictionaries}
"""Weights whose kernels are entries of a dictionary times a scale each, which the file has in their place."""
SHARED = {shared}
"""Tensors that are the same as another one, which alone is in the file."""
'''
LOAD_PT2 = '''
def load(folder=None, device="cpu", verify=True):
    """The network as torch.export wrote it down, for inference; `folder` holds it, by default this file's own.

    Raises ValueError when the file is not the one that this loader was written for.
    """
    program = torch.export.load(_place(folder, verify) / FILE)
    if torch.device(device).type != "cpu":
        program = move_to_device_pass(program, device)
    return program.module()
'''
_IN_ONNX_RUNTIME = '''
def load(folder=None, threads=0, providers=("CPUExecutionProvider",), verify=True):
    """A function from images, float32 (N, CHANNELS, HEIGHT, WIDTH), to outputs, run by ONNX Runtime.

    `folder` holds the file, by default this one's own; `threads` 0 means as many as there are processors.
    Raises ValueError when the file is not the one that this loader was written for.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(MODEL, options, providers=list(providers))
    name = session.get_inputs()[0].name

    def run(images):
        return session.run(None, {name: images})[0]

    return run
'''
LOAD_ONNX = _IN_ONNX_RUNTIME.replace("MODEL", "str(_place(folder, verify) / FILE)")
LOAD_PACKED_INT8 = f'''{_IN_ONNX_RUNTIME.replace("MODEL", "onnx_file(folder, verify)")}

def onnx_file(folder=None, verify=True):
    """The INT8 ONNX file, byte for byte: its tensors, each at its place of what is around them."""
    tensors = unpack((_place(folder, verify) / FILE).read_bytes())
    around = zlib.decompress(tensors.pop("secateur/around")[1].tobytes())
    places = tensors.pop("secateur/places")[1].tolist()
    parts, before = [], 0
    for place, (_, array) in zip(places, tensors.values()):
        parts += [around[before:place], array.tobytes()]
        before = place
    return b"".join([*parts, around[before:]])
'''
LOAD_OPENVINO = '''
def load(folder=None, threads=0, device="CPU", verify=True):
    """A function from images, float32 (N, CHANNELS, HEIGHT, WIDTH), to outputs, run by OpenVINO.

    `folder` holds the files, by default this one's own; `threads` 0 means as many as there are processors.
    What is not INT8 is computed in float32, also where the processor could do with less.
    Raises ValueError when the files are not those that this loader was written for.
    """
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    file = str(_place(folder, verify) / FILE)
    compiled = openvino.Core().compile_model(file, device, settings)

    def run(images):
        return compiled(images)[0]

    return run
'''
TOGETHER = "    return run\n"
BY_IMAGE = """    # The file quantizes by the range of all images of a call; its results are of one a call.
    return lambda images: numpy.concatenate([run(image[None]) for image in images])
"""

PLACE = """
def _place(folder, verify):
    place = Path(folder or Path(__file__).resolve().parent)
    for name, known in SHA256.items():
        if verify and _sha256(place / name) != known:
            raise ValueError(f"{place / name} was changed: its SHA-256 is not {known}")
    return place


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
"""

MAIN_TORCH = """
if __name__ == "__main__":
    model = load()
    with torch.inference_mode():
        outputs = model(preprocess(torch.zeros(1, CHANNELS, HEIGHT, WIDTH)))
    print(f"outputs {tuple(outputs.shape)}")
"""
MAIN_NUMPY = """
if __name__ == "__main__":
    model = load()
    outputs = model(preprocess(numpy.zeros((1, CHANNELS, HEIGHT, WIDTH), numpy.float32)))
    print(f"outputs {outputs.shape}")
"""
