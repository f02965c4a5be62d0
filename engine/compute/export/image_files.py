"""The function `read` of `load.py`: images from files, brought to the network's shape as the trial's images were."""

from engine.compute.data import Dataset
from engine.compute.data.boxes import BORDER
from engine.compute.data.pixels import MODES

HEAD = '''
def read(*files):
    """Images from files, {kind} (N, CHANNELS, HEIGHT, WIDTH), as preprocess() takes them. Needs Pillow.

    Turned upright as cameras say, then {how}.{note}
    """
    from PIL import Image, ImageOps

    images = []
    for file in files:
        with Image.open(file) as opened:
            if opened.mode in ("I", "F") or opened.mode.startswith("I;16"):
                raise ValueError(f"{{file}} has more than 8 bits a value")
            image = ImageOps.exif_transpose(opened).convert("{mode}")
'''
STORED = """        if image.size != (WIDTH, HEIGHT):
            raise ValueError(f"{file} has {image.width}×{image.height} pixels, not {WIDTH}×{HEIGHT}")
"""
STRETCHED = """        if image.size != (WIDTH, HEIGHT):
            image = image.resize((WIDTH, HEIGHT), Image.Resampling.{filter})
"""
CUT = """        long = int({resize} * max(image.size) / min(image.size))
        size = ({resize}, long) if image.width < image.height else (long, {resize})
        if image.size != size:
            image = image.resize(size, Image.Resampling.{filter})
        left, above = (
            round((given - wanted) / 2) if given >= wanted else -((wanted - given) // 2)
            for given, wanted in ((image.width, WIDTH), (image.height, HEIGHT))
        )
        if image.size != (WIDTH, HEIGHT):
            image = image.crop((left, above, left + WIDTH, above + HEIGHT))
"""
FITTED = """        scale = HEIGHT / max(image.size)
        size = tuple(max(1, round(length * scale)) for length in image.size)
        square = Image.new("{mode}", (WIDTH, HEIGHT), {border})
        square.paste(
            image.resize(size, Image.Resampling.BILINEAR), ((WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2)
        )
        image = square
"""
TAIL_TORCH = """        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        images.append(pixels.view(HEIGHT, WIDTH, CHANNELS).permute(2, 0, 1))
    return torch.stack(images)
"""
TAIL_NUMPY = """        pixels = numpy.frombuffer(image.tobytes(), numpy.uint8)
        images.append(pixels.reshape(HEIGHT, WIDTH, CHANNELS).transpose(2, 0, 1))
    return numpy.stack(images)
"""
ROUNDED = """ The trial's images came as arrays,
    which torch resized: the same but for rounding."""


def readable(data: Dataset) -> bool:
    """Whether image files can be read for it: not values of more than 8 bits, or channels that no image has."""
    return data.eight_bits and data.channels in MODES


def read_py(data: Dataset, by_torch: bool) -> str:
    """The text of the function; empty where images of this data are in no image files."""
    if not readable(data):
        return ""
    mode, fit = MODES[data.channels], data.fit
    resized = fit.size is not None
    head = HEAD.format(
        kind="a uint8 tensor" if by_torch else "a uint8 array",
        how=resizing(data),
        note=ROUNDED if resized and not data.from_files else "",
        mode=mode,
    )
    if data.task == "detection":
        body = FITTED.format(mode=mode, border=BORDER if mode == "L" else (BORDER,) * len(mode))
    elif not resized:
        body = STORED
    else:
        body = (CUT if fit.resize else STRETCHED).format(resize=fit.resize, filter=fit.interpolation.upper())
    return head + body + (TAIL_TORCH if by_torch else TAIL_NUMPY)


def resizing(data: Dataset) -> str:
    """How images of another size are brought to the network's, in words."""
    fit = data.fit
    if data.task == "detection":
        return "resized bilinearly, keeping their proportions, the rest filled with grey (114)"
    if fit.size is None:
        return "taken as they are: all have the network's size"
    how = "nearest" if fit.interpolation == "nearest" else f"{fit.interpolation}, antialiased"
    if fit.resize is not None:
        return f"the shorter side resized to {fit.resize} ({how}), and the middle cut out"
    return f"resized ({how})"
