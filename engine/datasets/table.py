"""The table of built-in data sets, and what torchvision has beside them."""

from engine.datasets.photos import PHOTOS
from engine.datasets.records import Record
from engine.datasets.small import SMALL

RECORDS: dict[str, Record] = {record.name: record for record in (*SMALL, *PHOTOS)}
"""Every built-in data set by the name users write."""

_FLOW = "optical flow"
_STEREO = "stereo matching"
_VIDEO = "video"

NOT_CLASSIFICATION: dict[str, str] = {
    "CarlaStereo": _STEREO,
    "CelebA": "forty yes/no attributes per face, no single class",
    "Cityscapes": "segmentation",
    "CocoCaptions": "captions",
    "CocoDetection": "detection",
    "CREStereo": _STEREO,
    "DatasetFolder": "the base of ImageFolder, for files of any kind",
    "ETH3DStereo": _STEREO,
    "FakeData": "random noise",
    "FallingThingsStereo": _STEREO,
    "Flickr30k": "captions",
    "Flickr8k": "captions",
    "FlyingChairs": _FLOW,
    "FlyingThings3D": _FLOW,
    "HD1K": _FLOW,
    "HMDB51": _VIDEO,
    "InStereo2k": _STEREO,
    "Kinetics": _VIDEO,
    "Kitti": "detection",
    "Kitti2012Stereo": _STEREO,
    "Kitti2015Stereo": _STEREO,
    "KittiFlow": _FLOW,
    "LFWPairs": "pairs of faces",
    "LSUN": "an LMDB database per scene, not downloadable; export it to folders and use imagefolder",
    "LSUNClass": "one class of LSUN",
    "Middlebury2014Stereo": _STEREO,
    "MovingMNIST": _VIDEO,
    "PhotoTour": "pairs of patches",
    "SBDataset": "segmentation",
    "SBU": "captions",
    "SceneFlowStereo": _STEREO,
    "Sintel": _FLOW,
    "SintelStereo": _STEREO,
    "UCF101": _VIDEO,
    "VisionDataset": "the base of all others",
    "VOCDetection": "detection",
    "VOCSegmentation": "segmentation",
    "WIDERFace": "detection",
}
"""What torchvision.datasets exports beside classification sets, and why it is not offered."""
