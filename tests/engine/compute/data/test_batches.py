"""Batches: order, augmentation and layout, repeatable from the generator alone."""

import threading

import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.compute.data import Dataset, Split
from engine.compute.data.augment import Chance, crop, flip
from engine.compute.data.dataset import Augment
from engine.compute.data.images import Decoded, Images, Pixels, Remembered, Subset
from engine.compute.data.pixels import Fit


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dataset(images: Images) -> tuple[Dataset, Split]:
    split = Split(images, torch.arange(len(images)) % 5)
    channels = images.gather(torch.tensor([0])).shape[1]
    statistics = torch.full((channels,), 0.5)
    names = tuple("abcde")
    return Dataset("made", names, channels, (16, 16), statistics, statistics, split, split, split, ""), split


@pytest.fixture
def pixels() -> Tensor:
    return torch.randint(256, (50, 3, 16, 16), dtype=torch.uint8, generator=seeded(7))


@pytest.mark.parametrize("augment", ["none", "crop", "crop-flip"])
def test_equal_generators_give_bit_equal_batches(pixels: Tensor, augment: Augment) -> None:
    data, split = dataset(Pixels(pixels))

    def run(seed: int) -> Tensor:
        order = torch.randperm(50, generator=seeded(3))
        return torch.cat(
            [x for x, _ in data.batches(split, 16, order=order, augment=augment, generator=seeded(seed))]
        )

    assert torch.equal(run(1), run(1))
    assert torch.equal(run(1), run(2)) == (augment == "none")


def test_order_is_followed_and_the_last_batch_is_what_remains(pixels: Tensor) -> None:
    data, split = dataset(Pixels(pixels))
    order = torch.randperm(50, generator=seeded())
    batches = list(data.batches(split, 16, order=order))
    assert [len(labels) for _, labels in batches] == [16, 16, 16, 2]
    assert torch.equal(torch.cat([labels for _, labels in batches]), split.labels[order])
    restored = torch.cat([images for images, _ in batches]) * 127.5 + 127.5
    assert torch.equal(restored.round().to(torch.uint8), pixels[order])


def test_order_may_leave_images_out_or_be_empty(pixels: Tensor) -> None:
    data, split = dataset(Pixels(pixels))
    assert [len(labels) for _, labels in data.batches(split, 4, order=torch.tensor([7, 7, 3]))] == [3]
    assert all(
        len(labels) == 0 for _, labels in data.batches(split, 4, order=torch.tensor([], dtype=torch.int64))
    )


@pytest.mark.parametrize("channels_last", [True, False])
def test_layout_changes_memory_and_not_values(pixels: Tensor, channels_last: bool) -> None:
    data, split = dataset(Pixels(pixels))
    images, _ = next(data.batches(split, 8, channels_last=channels_last))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert images.is_contiguous(memory_format=layout)
    other, _ = next(data.batches(split, 8, channels_last=not channels_last))
    assert torch.equal(images, other)


def test_crop_shifts_each_image_by_up_to_an_eighth(pixels: Tensor) -> None:
    cropped, _ = crop(pixels, None, Chance(seeded(), len(pixels)))
    padded = torch.nn.functional.pad(pixels, (2, 2, 2, 2))
    shifts = set()
    for image, around in zip(cropped, padded, strict=True):
        found = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(image, around[:, y : y + 16, x : x + 16])
        ]
        assert len(found) == 1
        shifts.update(found)
    assert len(shifts) > 15


def test_flip_mirrors_about_half(pixels: Tensor) -> None:
    flipped, _ = flip(pixels, None, Chance(seeded(), len(pixels)))
    same = [torch.equal(one, two) for one, two in zip(flipped, pixels, strict=True)]
    mirrored = [torch.equal(one, two.flip(2)) for one, two in zip(flipped, pixels, strict=True)]
    assert all(one != two for one, two in zip(same, mirrored, strict=True))
    assert 12 < sum(mirrored) < 38


class Drawn:
    """Images opened from a tensor, which notes what is opened."""

    def __init__(self, pixels: Tensor, opened: list[int]) -> None:
        self._pixels = pixels
        self._opened = opened
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pixels)

    def open(self, number: int) -> Image.Image:
        with self._lock:
            self._opened.append(number)
        return Image.fromarray(self._pixels[number].permute(1, 2, 0).numpy())

    def place(self, number: int) -> str:
        return str(number)


def decoded(pixels: Tensor, opened: list[int]) -> Decoded:
    return Decoded(Drawn(pixels, opened), Fit())


def test_decoding_on_demand_gives_the_same_batches_as_memory(pixels: Tensor) -> None:
    order = torch.randperm(50, generator=seeded())
    runs = []
    for images in (Pixels(pixels), decoded(pixels, []), Remembered(decoded(pixels, []), pixels[:1])):
        data, split = dataset(images)
        runs.append(
            list(data.batches(split, 16, order=order, augment="crop-flip", generator=seeded()))
            + list(data.batches(split, 7))
        )
    for one, two, three in zip(*runs, strict=True):
        assert torch.equal(one[0], two[0]) and torch.equal(one[0], three[0])
        assert torch.equal(one[1], two[1])


def test_remembered_images_are_decoded_once_and_only_when_used(pixels: Tensor) -> None:
    opened: list[int] = []
    images = Remembered(Subset(decoded(pixels, opened), torch.arange(10, 50)), pixels[:1])
    for _ in range(2):
        assert torch.equal(images.gather(torch.tensor([0, 5, 5])), pixels[[10, 15, 15]])
    assert set(opened) <= {0, 10, 15} and len(opened) <= 4
    assert images.slow
    images.gather(torch.arange(40))
    assert not images.slow


def test_resizing_does_not_depend_on_the_batch(pixels: Tensor) -> None:
    images = Pixels(pixels, Fit((11, 11), 1))
    together = images.gather(torch.arange(50))
    single = torch.cat([images.gather(torch.tensor([number])) for number in range(50)])
    assert together.shape == (50, 1, 11, 11)
    assert torch.equal(together, single)


def test_grey_is_what_pillow_makes_of_colours(pixels: Tensor) -> None:
    ours = Pixels(pixels, Fit(channels=1)).gather(torch.arange(50))
    for image, grey in zip(pixels, ours, strict=True):
        theirs = Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")
        assert grey.flatten().tolist() == list(theirs.tobytes())
