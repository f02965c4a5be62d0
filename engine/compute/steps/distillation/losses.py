"""What a student loses for answering otherwise than its teacher. Logits are (N, classes)."""

import torch
from torch import Tensor
from torch.nn import functional

TINY = 1e-12
"""Keeps from dividing by a length of zero."""


def softened(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) of the probabilities at temperature T, mean over images (Hinton et al. 2015).

    T² keeps the gradients of the size that those of the labels have.
    """
    return _divergence(_log(teacher, temperature), _log(student, temperature)) * temperature**2


def decoupled(
    student: Tensor, teacher: Tensor, targets: Tensor, *, alpha: float, beta: float, temperature: float
) -> Tensor:
    """T² · (α·TCKD + β·NCKD), mean over images (Zhao et al. 2022, equation 7).

    TCKD is the divergence of (target's probability, the rest); NCKD that of the other classes' probabilities among
    themselves. `targets` are class indices, int64 (N,).
    """
    of_target = _divergence(_binary(teacher, targets, temperature), _binary(student, targets, temperature))
    others = _divergence(
        _log(_without(teacher, targets), temperature), _log(_without(student, targets), temperature)
    )
    return (alpha * of_target + beta * others) * temperature**2


def hint(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the mean squared distance of two feature maps of one shape (FitNets, Romero et al. 2015, equation 3)."""
    return functional.mse_loss(student, teacher) / 2


def attention(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the squared distance of two attention maps, 0 … 1, mean over images (Zagoruyko & Komodakis 2017, equation
    2 with its norm squared).

    Takes feature maps, (N, C, H, W) each, of one size and perhaps other channels.
    """
    return (attention_map(student) - attention_map(teacher)).pow(2).sum(1).mean() / 2


def attention_map(features: Tensor) -> Tensor:
    """Mean over channels of the squared features, of length 1: (N, C, H, W) → (N, H·W)."""
    return functional.normalize(features.pow(2).mean(1).flatten(1))


def correlated(student: Tensor, teacher: Tensor, *, beta: float, gamma: float, temperature: float) -> Tensor:
    """T² · (β·inter + γ·intra): how little the probabilities at temperature T go together (DIST, Huang et al. 2022,
    equations 7 to 10).

    Inter is Pearson's distance between the two rows of an image, mean over images; intra that between the two columns
    of a class, mean over classes. T² as in the paper's code; the classes or images of one alone have no relation.
    """
    mine, theirs = torch.softmax(student / temperature, 1), torch.softmax(teacher / temperature, 1)
    inter, intra = _pearson_distance(mine, theirs), _pearson_distance(mine.T, theirs.T)
    return (beta * inter + gamma * intra) * temperature**2


def relations(student: Tensor, teacher: Tensor, *, distance: float, angle: float) -> Tensor:
    """λD · L_RKD-D + λA · L_RKD-A of two networks' features for the same images (RKD, Park et al. 2019, equation 12).

    Features are (N, D) and (N, E). Each loss is Huber's (equation 6), mean over all pairs or triplets: of distances
    between images over their own mean (equations 5, 7, 8), and of cosines of the angles that three images make
    (equations 9 to 11).
    """
    mine, theirs = _differences(student), _differences(teacher)
    of_distances = functional.smooth_l1_loss(_relative_lengths(mine), _relative_lengths(theirs))
    return distance * of_distances + angle * functional.smooth_l1_loss(_cosines(mine), _cosines(theirs))


def _pearson_distance(one: Tensor, two: Tensor) -> Tensor:
    """1 - Pearson's correlation of the two rows, mean over rows; (N, M) each. 1 for rows that do not vary."""
    mine, theirs = (rows - rows.mean(1, keepdim=True) for rows in (one, two))
    return 1 - functional.cosine_similarity(mine, theirs, dim=1, eps=TINY).mean()


def _differences(features: Tensor) -> Tensor:
    """From image i to image j: (N, D) → (N, N, D)."""
    return features[None, :, :] - features[:, None, :]


def _relative_lengths(differences: Tensor) -> Tensor:
    """Distances of all pairs (N, N), over the mean of those of two images."""
    lengths: Tensor = torch.linalg.vector_norm(differences, dim=2)
    pairs = len(lengths) * (len(lengths) - 1)
    return lengths * pairs / lengths.sum().clamp_min(TINY)


def _cosines(differences: Tensor) -> Tensor:
    """The cosine of the angle at image i between j and k: (N, N, N), zero where two are the same image."""
    towards = functional.normalize(differences, dim=2, eps=TINY)
    return towards @ towards.mT


def _log(logits: Tensor, temperature: float) -> Tensor:
    return functional.log_softmax(logits / temperature, 1)


def _divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher ‖ student) of log-probabilities, mean over images."""
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True)


def _binary(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Log-probabilities of the target and of all the rest, (N, 2)."""
    log = _log(logits, temperature)
    rest = torch.logsumexp(_without(log, targets), 1)
    return torch.stack([log.gather(1, targets[:, None])[:, 0], rest], 1)


def _without(values: Tensor, targets: Tensor) -> Tensor:
    """The columns of all classes but the target, (N, classes - 1)."""
    others = torch.ones_like(values, dtype=torch.bool).scatter_(1, targets[:, None], False)
    return values[others].view(len(values), -1)
