"""Small data sets, most published as arrays: counts as published, calls as in torchvision 0.29."""

from engine.datasets.records import Bundled, Counts, Folders, Idx, Keywords, Record, Scenes, Vision

DIGIT_NAMES = tuple("0123456789")
UPPER = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
LOWER = tuple("abcdefghijklmnopqrstuvwxyz")
EMNIST_KEPT_APART = tuple("abdefghnqrt")
"""Lower-case letters that EMNIST's merged splits keep apart from their capitals (Cohen 2017, section II)."""

_TRAIN: Keywords = {"train": True}
_TEST: Keywords = {"train": False}


def _split(name: str) -> Keywords:
    return {"split": name}


def _mnist(name: str, title: str, kind: str, megabytes: int, class_names: tuple[str, ...]) -> Record:
    train = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
    test = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    return Record(
        name=name,
        title=title,
        classes=10,
        channels=1,
        size=28,
        images=Counts(60_000, test=10_000),
        source=Idx(f"{kind}/raw", train, test),
        files=(*train, *test),
        torchvision=kind,
        downloads=({},),
        download_mb=megabytes,
        class_names=class_names,
    )


def _emnist(split: str, images: Counts, class_names: tuple[str, ...], first_label: int = 0) -> Record:
    parts = {part: f"emnist-{split}-{part}" for part in ("train", "test")}
    train = (f"{parts['train']}-images-idx3-ubyte", f"{parts['train']}-labels-idx1-ubyte")
    test = (f"{parts['test']}-images-idx3-ubyte", f"{parts['test']}-labels-idx1-ubyte")
    return Record(
        name=f"emnist-{split}",
        title=f"EMNIST, {split} split: handwritten characters",
        classes=len(class_names),
        channels=1,
        size=28,
        images=images,
        source=Idx("EMNIST/raw", train, test, first_label=first_label, transposed=True),
        files=(*train, *test),
        torchvision="EMNIST",
        downloads=({"split": split, "train": True},),
        download_mb=562,
        class_names=class_names,
    )


SMALL: tuple[Record, ...] = (
    Record(
        name="digits",
        title="Handwritten digits, part of scikit-learn",
        classes=10,
        channels=1,
        size=8,
        images=Counts(1_797),
        source=Bundled(),
        files=("digits.csv.gz",),
        class_names=DIGIT_NAMES,
    ),
    Record(
        name="digits-detection",
        title="The same digits, one to six on a canvas, to be found: for detectors",
        classes=10,
        channels=1,
        size=96,
        images=Counts(2_000, validation=300, test=500),
        source=Scenes(),
        files=("digits.csv.gz",),
        class_names=DIGIT_NAMES,
    ),
    _mnist(
        "fashion-mnist",
        "Fashion-MNIST: clothes",
        "FashionMNIST",
        31,
        (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
    ),
    _mnist("mnist", "MNIST: handwritten digits", "MNIST", 12, DIGIT_NAMES),
    _mnist(
        "kmnist",
        "Kuzushiji-MNIST: cursive Japanese characters",
        "KMNIST",
        21,
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
    Record(
        name="qmnist",
        title="QMNIST: MNIST with all 60 000 test digits",
        classes=10,
        channels=1,
        size=28,
        images=Counts(60_000, test=60_000),
        source=Idx(
            "QMNIST/raw",
            ("qmnist-train-images-idx3-ubyte", "qmnist-train-labels-idx2-int"),
            ("qmnist-test-images-idx3-ubyte", "qmnist-test-labels-idx2-int"),
        ),
        files=(
            *("qmnist-train-images-idx3-ubyte", "qmnist-train-labels-idx2-int"),
            *("qmnist-test-images-idx3-ubyte", "qmnist-test-labels-idx2-int"),
        ),
        torchvision="QMNIST",
        downloads=(_TRAIN, _TEST),
        download_mb=21,
        class_names=DIGIT_NAMES,
    ),
    _emnist("balanced", Counts(112_800, test=18_800), (*DIGIT_NAMES, *UPPER, *EMNIST_KEPT_APART)),
    _emnist("byclass", Counts(697_932, test=116_323), (*DIGIT_NAMES, *UPPER, *LOWER)),
    _emnist("bymerge", Counts(697_932, test=116_323), (*DIGIT_NAMES, *UPPER, *EMNIST_KEPT_APART)),
    _emnist("digits", Counts(240_000, test=40_000), DIGIT_NAMES),
    _emnist("letters", Counts(124_800, test=20_800), LOWER, first_label=1),
    _emnist("mnist", Counts(60_000, test=10_000), DIGIT_NAMES),
    Record(
        name="cifar10",
        title="CIFAR-10: animals and vehicles",
        classes=10,
        channels=3,
        size=32,
        images=Counts(50_000, test=10_000),
        source=Vision(_TRAIN, test=_TEST, labels="targets", pixels="data"),
        files=(
            *(f"cifar-10-batches-py/data_batch_{part}" for part in range(1, 6)),
            *("cifar-10-batches-py/test_batch", "cifar-10-batches-py/batches.meta"),
        ),
        torchvision="CIFAR10",
        downloads=(_TRAIN,),
        download_mb=170,
    ),
    Record(
        name="cifar100",
        title="CIFAR-100: a hundred kinds of things",
        classes=100,
        channels=3,
        size=32,
        images=Counts(50_000, test=10_000),
        source=Vision(_TRAIN, test=_TEST, labels="targets", pixels="data"),
        files=("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"),
        torchvision="CIFAR100",
        downloads=(_TRAIN,),
        download_mb=169,
    ),
    Record(
        name="svhn",
        title="SVHN: house numbers in street views",
        classes=10,
        channels=3,
        size=32,
        images=Counts(73_257, test=26_032),
        source=Vision(_split("train"), test=_split("test"), labels="labels", pixels="data", axes="NCHW"),
        files=("train_32x32.mat", "test_32x32.mat"),
        torchvision="SVHN",
        downloads=(_split("train"), _split("test")),
        download_mb=246,
        class_names=DIGIT_NAMES,
    ),
    Record(
        name="stl10",
        title="STL-10: animals and vehicles, few labels",
        classes=10,
        channels=3,
        size=96,
        images=Counts(5_000, test=8_000),
        source=Vision(_split("train"), test=_split("test"), labels="labels", pixels="data", axes="NCHW"),
        files=tuple(f"stl10_binary/{part}_{kind}.bin" for part in ("train", "test") for kind in "Xy"),
        torchvision="STL10",
        downloads=(_split("train"),),
        download_mb=2_640,
    ),
    Record(
        name="usps",
        title="USPS: handwritten digits from envelopes",
        classes=10,
        channels=1,
        size=16,
        images=Counts(7_291, test=2_007),
        source=Vision(_TRAIN, test=_TEST, labels="targets", pixels="data", axes="NHW"),
        files=("usps.bz2", "usps.t.bz2"),
        torchvision="USPS",
        downloads=(_TRAIN, _TEST),
        download_mb=8,
        class_names=DIGIT_NAMES,
    ),
    Record(
        name="semeion",
        title="SEMEION: handwritten digits, black and white",
        classes=10,
        channels=1,
        size=16,
        images=Counts(1_593),
        source=Vision({}, labels="labels", pixels="data", axes="NHW"),
        files=("semeion.data",),
        torchvision="SEMEION",
        downloads=({},),
        download_mb=3,
        class_names=DIGIT_NAMES,
    ),
    Record(
        name="omniglot",
        title="Omniglot, background set: characters of 30 alphabets",
        classes=964,
        channels=1,
        size=105,
        images=Counts(19_280),
        source=Folders("omniglot-py/images_background", layout="leaf", suffixes=(".png",)),
        files=("omniglot-py/images_background",),
        torchvision="Omniglot",
        downloads=({"background": True},),
        download_mb=9,
    ),
    Record(
        name="fer2013",
        title="FER2013: facial expressions",
        classes=7,
        channels=1,
        size=48,
        images=Counts(28_709, test=7_178),
        source=Vision(_split("train"), test=_split("test"), labels="_samples"),
        files=("fer2013/fer2013.csv",),
        torchvision="FER2013",
        note="It is published on Kaggle only: accept the terms there and put fer2013.csv in fer2013/.",
        class_names=("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    ),
)
