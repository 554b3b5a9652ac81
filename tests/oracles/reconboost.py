#!/usr/bin/env python3
"""Oracle of ReconBoost's losses, their gradients and its inference on given logits. Writes reconboost.json.

C. Hua, Q. Xu, S. Bao, Z. Yang, Q. Huang, "ReconBoost: Boosting Can Achieve Modality Reconcilement", ICML 2024,
and the authors' code. z_m are the logits of modality m through the one shared head, [B, C].
Stage s trains modality m = s mod k; p = (s - 1) mod k is the modality of the stage before.
Phase 1, the alternating boosting of encoder m and the head:
  q = softmax(rate sum_{n != m} z_n), the ensemble without m, a constant;
  boosting  = mean over b and c of (-w1 + w2 q_bc) y_bc log softmax(z_m)_bc
  agreement = mean over b and c of (softmax(z_m) - softmax(z_p))^2_bc; z_p is a constant
  loss      = boosting + alpha agreement; stage 0 has no agreement
"n" runs over the modalities that were trained before, or over all others when the encoders start from
uni-modal models. With none of them the published code has one column of a constant instead of logits, whose
softmax is 1: q = 1 (`empty` = "ones"); logits of 0 would give q = 1/C (`empty` = "uniform").
Phase 2, the global rectification of all encoders, the head and the learnable rate:
  loss = CE(rate sum_n z_n)
Inference: rate sum_n z_n over the modalities that are present.

The published code computes the agreement on detached tensors on both sides, so that it has no gradient; here
it has one, to z_m alone.

`phases`: per case `modality`, `previous` (-1: no agreement), `ensemble` (modalities in q), `logits` [k, B, C],
`targets`, `q` [B, C] (absent when the ensemble is empty; then `empty`), `boosting`, `agreement`, `loss`,
`gradient` [k, B, C] of the loss for every modality's logits (0 but for m).
  mistake_gradient_agreement_detached, _agreement_both (z_p gets a gradient, too), _ensemble (q gets one),
  mistake_loss_summed (sum over the classes instead of the mean).
`rectification`: `loss`, `gradient` [k, B, C], `gradient_rate`; mistake_gradient_without_rate,
  mistake_loss_without_rate.
`inference`: `logits` [2^k - 1, B, C], row S - 1 holds subset S (bit m: modality m); mistake_logits: the masks
  ignored; mistake_logits_without_rate.
`schedule`: per visit of the training data `stage`, `phase` (1 or 2), `modality`, `previous` (-1: none).
"""

import numpy as np

import store
from numeric import close, cross_entropy, cross_entropy_gradient, differences, far, log_softmax, one_hot, softmax

SEED = 2024
B, C = 5, 4
W1, W2, ALPHA, RATE = 5.0, 1.0, 0.5, 0.8


def ensemble_probabilities(logits, members, rate, empty):
    if not members:
        return np.ones(logits[0].shape) if empty == "ones" else np.full(logits[0].shape, 1 / C)
    return softmax(rate * sum(logits[n] for n in members))


def boosting(z, targets, q):
    """Sample by sample, class by class."""
    total = 0.0
    for b in range(B):
        log_p = log_softmax(z[b])
        for c in range(C):
            y = 1.0 if c == targets[b] else 0.0
            total += -W1 * y * log_p[c] + W2 * y * q[b, c] * log_p[c]
    return total / (B * C)


def agreement(z, z_previous):
    return ((softmax(z) - softmax(z_previous)) ** 2).sum() / (B * C)


def through_softmax(p, gradient):
    """The gradient of the logits from that of their softmax."""
    return p * (gradient - (p * gradient).sum(axis=1, keepdims=True))


def phase(logits, targets, modality, previous, members, empty="ones"):
    z = logits[modality]
    q = ensemble_probabilities(logits, members, RATE, empty)
    q_y = q[np.arange(B), targets]
    p, y = softmax(z), one_hot(targets, C)

    boost = boosting(z, targets, q)
    agree = agreement(z, logits[previous]) if previous >= 0 else 0.0
    loss = boost + ALPHA * agree

    boost_gradient = ((W1 - W2 * q_y) / (B * C))[:, None] * (p - y)
    agree_gradient = np.zeros_like(z)
    if previous >= 0:
        agree_gradient = ALPHA * 2 / (B * C) * through_softmax(p, p - softmax(logits[previous]))
    gradient = np.zeros_like(logits)
    gradient[modality] = boost_gradient + agree_gradient

    def value(z_m):
        other = agreement(z_m, logits[previous]) if previous >= 0 else 0.0
        return boosting(z_m, targets, q) + ALPHA * other

    close(gradient[modality], differences(value, z), 1e-8)
    values = dict(modality=modality, previous=previous, ensemble=members, logits=logits, targets=targets, rate=RATE,
                  boosting=boost, agreement=agree, loss=loss, gradient=gradient)
    if members:
        values["q"] = q
    else:
        values["empty"] = empty
    values["mistake_loss_summed"] = far(C * boost + ALPHA * agree, loss)
    if previous >= 0:
        inert = np.zeros_like(logits)
        inert[modality] = boost_gradient
        values["mistake_gradient_agreement_detached"] = far(inert, gradient)
        both = gradient.copy()
        p_previous = softmax(logits[previous])
        both[previous] += ALPHA * 2 / (B * C) * through_softmax(p_previous, p_previous - p)
        values["mistake_gradient_agreement_both"] = far(both, gradient)
    if members:
        flowing = gradient.copy()
        log_p_y = log_softmax(z)[np.arange(B), targets]
        to_ensemble = RATE * through_softmax(q, W2 / (B * C) * log_p_y[:, None] * y)
        for n in members:
            flowing[n] += to_ensemble
        values["mistake_gradient_ensemble"] = far(flowing, gradient)
    return values


def rectification(logits, targets, rate):
    total = logits.sum(axis=0)
    loss = cross_entropy(rate * total, targets)
    g = cross_entropy_gradient(rate * total, targets)
    gradient = np.stack([rate * g for _ in logits])
    gradient_rate = (g * total).sum()
    for m, z in enumerate(logits):
        close(gradient[m], differences(lambda x, z=z: cross_entropy(rate * (total - z + x), targets), z), 1e-8)
    close(gradient_rate, differences(lambda r: cross_entropy(r * total, targets), rate), 1e-8)
    return dict(logits=logits, targets=targets, rate=rate, loss=loss, gradient=gradient, gradient_rate=gradient_rate,
                mistake_loss_without_rate=far(cross_entropy(total, targets), loss).item(),
                mistake_gradient_without_rate=far(np.stack([g for _ in logits]), gradient))


def inference(logits, rate):
    k = len(logits)
    rows = []
    for mask in range(1, 2**k):
        row = np.zeros((B, C))
        for m in range(k):
            if mask >> m & 1:
                row = row + logits[m]
        rows.append(rate * row)
    rows = np.stack(rows)
    close(rows[0] + rows[-2], rows[-1])
    return dict(rate=rate, modalities=logits, logits=rows,
                mistake_logits=far(np.stack([rows[-1]] * len(rows)), rows),
                mistake_logits_without_rate=far(rows / rate, rows))


def schedule(k, first, second, visits):
    """`first` visits of phase 1, then `second` of phase 2, modality after modality."""
    entries, stage = [], 0
    while len(entries) < visits:
        modality, previous = stage % k, (stage - 1) % k if stage > 0 else -1
        entries += [dict(stage=stage, phase=1, modality=modality, previous=previous)] * first
        entries += [dict(stage=stage, phase=2, modality=modality, previous=previous)] * second
        stage += 1
    return dict(k=k, first_phase=first, second_phase=second, visits=entries[:visits])


def main():
    rng = np.random.default_rng(SEED)
    targets = rng.integers(0, C, B)
    two, three = 1.5 * rng.standard_normal((2, B, C)), 1.5 * rng.standard_normal((3, B, C))
    phases = {
        "two_first": phase(two, targets, 0, 1, [1]),
        "two_second": phase(two, targets, 1, 0, [0]),
        "three": phase(three, targets, 1, 0, [0, 2]),
        "three_first": phase(three, targets, 0, 2, [1, 2]),
        "stage_0_pretrained": phase(two, targets, 0, -1, [1]),
        "stage_0": phase(two, targets, 0, -1, [], "ones"),
        "stage_0_uniform": phase(two, targets, 0, -1, [], "uniform"),
    }
    far(phases["stage_0"]["gradient"], phases["stage_0_uniform"]["gradient"])
    # Swapping the modalities swaps the gradients.
    swapped = phase(two[::-1].copy(), targets, 1, 0, [0])
    close(swapped["gradient"][::-1], phases["two_first"]["gradient"])
    # The boosting term weighs a sample's cross-entropy by (w1 - w2 q_y) / C.
    case = phases["two_first"]
    weights = (W1 - W2 * case["q"][np.arange(B), targets]) / C
    close(case["boosting"], (weights * -log_softmax(two[0])[np.arange(B), targets]).mean())

    store.write(__file__, dict(
        seed=SEED, w1=W1, w2=W2, alpha=ALPHA, phases=phases,
        rectification={"two": rectification(two, targets, 0.8), "three": rectification(three, targets, 1.2)},
        inference={"two": inference(two, 0.8), "three": inference(three, 1.2)},
        schedule=[schedule(2, 4, 4, 24), schedule(3, 1, 2, 12)]))
    for name, values in phases.items():
        print(name, "boosting", values["boosting"], "agreement", values["agreement"])


if __name__ == "__main__":
    main()
