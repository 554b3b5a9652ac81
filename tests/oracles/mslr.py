#!/usr/bin/env python3
"""Oracle of MSLR's learning-rate factors. Writes mslr.json. Needs PyTorch for the second way of `updates`.

Y. Yao, R. Mihalcea, "Modality-specific Learning Rates for Effective Multimodal Additive Late-fusion",
Findings of ACL 2022, as AGM's authors run it (AGM_ICCV2023). Additive late fusion; epochs from 0.
  acc_m(e)    = accuracy of modality m's share over the validation split, after epoch e
  rho_m(e)    = acc_m(e) / mean(acc_m(e - 5), ..., acc_m(e - 1)): the five epochs before, without e itself;
                1 while there are fewer than five
  factor_m(e) = c_m rho_m(e - 1), factor_m(0) = c_m: the factor on the learning rate of encoder m and of
                head m in epoch e; a bias common to all modalities keeps the factor 1
Where the mean is 0 the ratio is undefined and rho_m is 1 (ours; the authors' code divides by it).
The authors multiply gradients, which AdamW undoes; a factor on the learning rate is what the paper means.

`cases`: c [k], `window` 5, `accuracy` [E, k], `rho` [E, k] (of that epoch's accuracy), `factor` [E + 1, k].
  `mistake_with_current`: rho when epoch e is among the five of its own mean. `mistake_from_first`: rho when
  the mean is taken of however many epochs there are. `mistake_one_accuracy` (case `two`): factors when
  modality 0 is counted right where modality 1 is, as in the authors' CREMA-D script.
`accuracies`: `shares` [k, N, C], `targets` [N], `batches` (sizes), `accuracy` [k] per sample;
  `mistake_batch_mean`: the mean of the batches' accuracies; `mistake_one_accuracy` [k].
`updates`: three parameters' entries `start` [n], `gradients` [T, n], `factors` [T], rate, decay, and the
  trajectory [T, n] of SGD (momentum) and AdamW with the factor on the learning rate;
  `mistake_gradient_factor` with the factor on the gradient instead.
"""

import numpy as np

import store
from checks import differs

SEED = 2022
WINDOW = 5


def ratio(accuracies, e, window=WINDOW):
    """rho of one modality after epoch e, straight from the definition."""
    if e < window:
        return 1.0
    mean = sum(accuracies[e - window:e]) / window
    return accuracies[e] / mean if mean > 0 else 1.0


def ratios(accuracy, one=ratio):
    epochs, k = accuracy.shape
    return np.array([[one(list(accuracy[:, m]), e) for m in range(k)] for e in range(epochs)])


def factors(c, rho):
    """[E + 1, k]: row e is in use during epoch e."""
    return c * np.concatenate([np.ones((1, len(c))), rho])


def with_current(accuracies, e):
    return accuracies[e] / np.mean(accuracies[e - WINDOW + 1:e + 1]) if e >= WINDOW else 1.0


def from_first(accuracies, e):
    earlier = accuracies[max(0, e - WINDOW):e]
    return accuracies[e] / np.mean(earlier) if earlier else 1.0


def by_memory(accuracy):
    """rho as the authors keep it: a list of at most five, that epoch's accuracy appended after its use."""
    rho = np.ones(accuracy.shape)
    for m in range(accuracy.shape[1]):
        memory, now = [], 1.0
        for e, value in enumerate(accuracy[:, m]):
            if len(memory) == WINDOW:
                now = value / np.mean(memory) if np.mean(memory) > 0 else 1.0
                memory = memory[1:]
            memory.append(value)
            rho[e, m] = now
    return rho


def case(c, accuracy):
    c, accuracy = np.array(c, float), np.array(accuracy, float)
    rho = ratios(accuracy)
    np.testing.assert_allclose(rho, by_memory(accuracy), rtol=1e-14)
    return dict(k=len(c), c=c, window=WINDOW, accuracy=accuracy, rho=rho, factor=factors(c, rho))


def learning_curves(rng, k, epochs):
    """Accuracies out of 40 samples that rise at different paces, with noise."""
    rise = 1 - np.exp(-np.arange(1, epochs + 1)[:, None] / np.array([2.0, 6.0, 4.0])[:k])
    right = np.round(40 * np.array([0.8, 0.6, 0.7])[:k] * rise + rng.integers(-2, 3, (epochs, k)))
    return np.clip(right, 1, 40) / 40


def accuracies(rng, k=2, samples=11, outputs=3):
    """Shares and labels of a validation split in batches of 4, 4 and 3."""
    targets = rng.integers(0, outputs, samples)
    shares = rng.standard_normal((k, samples, outputs))
    shares[0, np.arange(7), targets[:7]] += 3
    shares[1, np.arange(7, 11), targets[7:]] += 3
    batches = [4, 4, 3]
    right = shares.argmax(axis=2) == targets
    accuracy = right.sum(axis=1) / samples
    edges = np.cumsum([0, *batches])
    by_batch = [np.mean([row[a:b].mean() for a, b in zip(edges, edges[1:])]) for row in right]
    assert differs(by_batch, accuracy, 0.02) and accuracy[0] != accuracy[1]
    return dict(shares=shares, targets=targets, batches=batches, accuracy=accuracy,
                mistake_batch_mean=by_batch, mistake_one_accuracy=np.full(k, accuracy[1]))


def sgd(start, gradients, rates, decay, momentum):
    """v <- momentum v + g + decay theta; theta <- theta - rate v."""
    theta, v, path = start.copy(), 0.0, []
    for g, rate in zip(gradients, rates):
        v = momentum * v + g + decay * theta
        theta = theta - rate * v
        path.append(theta)
    return np.array(path)


def adamw(start, gradients, rates, decay, betas=(0.9, 0.999), epsilon=1e-8):
    """theta <- theta (1 - rate decay) - rate (first / (1 - b1^t)) / (sqrt(second / (1 - b2^t)) + epsilon)."""
    theta, first, second, path = start.copy(), 0.0, 0.0, []
    for t, (g, rate) in enumerate(zip(gradients, rates), start=1):
        first = betas[0] * first + (1 - betas[0]) * g
        second = betas[1] * second + (1 - betas[1]) * g**2
        step = (first / (1 - betas[0]**t)) / (np.sqrt(second / (1 - betas[1]**t)) + epsilon)
        theta = theta * (1 - rate * decay) - rate * step
        path.append(theta)
    return np.array(path)


def torch_path(make, start, gradients, rates):
    import torch

    theta = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer, path = make([theta]), []
    for g, rate in zip(gradients, rates):
        optimizer.param_groups[0]["lr"] = rate
        theta.grad = torch.from_numpy(g.copy())
        optimizer.step()
        path.append(theta.detach().numpy().copy())
    return np.array(path)


def updates(rng, rate=0.05, decay=0.01, momentum=0.9):
    import torch

    torch.set_num_threads(1)
    start, gradients = rng.standard_normal(3), rng.standard_normal((6, 3)) + 0.5
    scale = np.array([0.4, 0.4, 0.9, 0.9, 1.4, 1.4])
    rates = rate * scale
    plain = np.full(len(scale), rate)
    result = dict(start=start, gradients=gradients, factors=scale, rate=rate, decay=decay, momentum=momentum)
    for name, run, make in (
        ("sgd", lambda g, r: sgd(start, g, r, decay, momentum),
         lambda p: torch.optim.SGD(p, lr=rate, momentum=momentum, weight_decay=decay)),
        ("adamw", lambda g, r: adamw(start, g, r, decay),
         lambda p: torch.optim.AdamW(p, lr=rate, weight_decay=decay)),
    ):
        right, wrong = run(gradients, rates), run(scale[:, None] * gradients, plain)
        np.testing.assert_allclose(right, torch_path(make, start, gradients, rates), rtol=1e-12)
        assert differs(wrong - start, right - start)
        result[name] = dict(path=right, mistake_gradient_factor=wrong)
    constant = [adamw(start, factor * gradients, plain, 0.0)[-1] for factor in (1.0, 0.4)]
    np.testing.assert_allclose(constant[0], constant[1], rtol=1e-6, err_msg="AdamW undoes a constant factor")
    return result


def main():
    rng = np.random.default_rng(SEED)
    two = case([1.3, 0.7], learning_curves(rng, 2, 12))
    wrong = np.repeat(two["accuracy"][:, 1:], 2, axis=1)
    two["mistake_one_accuracy"] = factors(two["c"], ratios(wrong))
    three = case([0.9, 1.4, 0.7], learning_curves(rng, 3, 9))
    for one in (two, three):
        one["mistake_with_current"] = ratios(one["accuracy"], with_current)
        one["mistake_from_first"] = ratios(one["accuracy"], from_first)
        assert differs(one["mistake_with_current"], one["rho"], 0.01)
        assert differs(one["mistake_from_first"], one["rho"])
    assert differs(two["mistake_one_accuracy"], two["factor"])

    constant = case([1.3, 0.7], np.full((8, 2), 0.5))
    assert np.array_equal(constant["rho"], np.ones((8, 2)))
    zero = case([1.0, 1.0], np.column_stack([[0, 0, 0, 0, 0, 0.25, 0.5], np.linspace(0.1, 0.7, 7)]))
    assert zero["rho"][5, 0] == 1 and zero["rho"][6, 0] == 0.5 / 0.05

    store.write(__file__, dict(seed=SEED, cases=dict(two=two, three=three, constant=constant, zero=zero),
                               accuracies=accuracies(rng), updates=updates(rng)))
    print("two\n", two["factor"], "\nthree\n", three["factor"])


if __name__ == "__main__":
    main()
