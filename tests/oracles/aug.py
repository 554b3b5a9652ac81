#!/usr/bin/env python3
"""Oracle of AUG's training with layers that are added on the way, and of its prediction. Writes aug.json.

Q. Jiang, L. Huang, Y. Yang, "Rethinking Multimodal Learning from the Perspective of Mitigating Classification Ability
Disproportion", NeurIPS 2025, and the authors' code (two modalities, that of CREMA-D). One head h(x) = W x + b for
both modalities; classifiers of modality m on its features f: c_0 = h(relu(E_m f + e_m)), and for each layer added
since c_j = h(relu(A_mj f + a_mj)), j = 1 .. J. y is the class, B the batch.
  z = sum_j c_j (all),   old = sum_{j < J} c_j,   new = c_J
  loss = CE(z)                                                                    J = 0
  loss = CE(z) + CE(old) + CE(new) - residual CE(new; softmax(old)_y in y's place), softmax(old) a constant    J > 0
The last term is a cross-entropy with the target y softmax(old), which does not sum to 1: the mean over the batch of
softmax(old)_y (-log softmax(new)_y). residual is 0.5.
For each batch, for m = 0, 1 in turn: the loss with the head as the modality before left it, its gradient, one update
of encoder m, E_m, e_m, all A_mj, a_mj and the head.
Scores of an epoch: s_m = sum over its samples of softmax(z_m)_y, from the passes that are trained on. After epoch e
(from 0) of E where e = 0 or e + 1 is a multiple of max(floor(E / 10), 1): s_0 / s_1 > 1 + tolerance gives modality 1
a layer, s_0 / s_1 < 1 - tolerance modality 0 (the weaker one). Prediction: 0.4 z_0 + 0.6 z_1; of a part of the
modalities the same sum over those present, divided by their weights.

The published code makes its optimiser before any layer is added, so that the layers are never trained
(`mistake_untrained`); here they are. It updates by an optimiser over everything, so that the momentum and the weight
decay of one modality also move in the other's turn; here a turn moves what it has computed gradients for.

`training`: encoder m = tanh(x U_m^T + u_m) of width D[m]; plain SGD with `rate`; `inputs` [E, n, k, B, 3], `targets`
[E, n, B]; `start`: U, u, E, e per modality, W, b; `layers`: those that are added, in order, `epoch` after which,
`modality`, `weight`, `bias` before training. `epochs`: `scores` [2], `ratio`, `added` (-1: none; what would be added
after the last epoch is listed, too). `steps` in order, 2 to a batch: `epoch`, `batch`, `modality`, `count` of layers
J, `loss`, `dW`, `db`, and after the update `W`, `b`, `U`, `u`, `E`, `e` and `layers` (weight and bias) of that
modality.
Mistakes, each of the step's own state: `mistake_loss_plus` (the residual term added), `mistake_loss_without` (left
out), `mistake_loss_head` (with the head that the batch found), `mistake_dW_flows` (softmax(old) is differentiated),
`mistake_loss_first` (J > 1: old is c_0 alone). `mistake_untrained`: W at the end when the layers are never updated.
`assignment`: `ratio`, `tolerance`, `modality` (-1: none). `schedule`: `epochs`, `checked` (epochs after which the
ratio is looked at).
`prediction`: `inputs` [k, B, 3] after the training; `modalities` [k, B, C] = z_m; `weights`, `subsets`: `subset` (bit
mask), `z`; mistake_mean, mistake_swapped (0.6 and 0.4), mistake_without_layers: z of both.
"""

import numpy as np

import store
from checks import differs, slopes
from numeric import close, cross_entropy, log_softmax, one_hot, softmax

SEED = 12
B, C, INPUTS, HIDDEN = 6, 3, 3, 5
D = [4, 3]
EPOCHS, BATCHES, RATE = 4, 2, 0.3
RESIDUAL, TOLERANCE, WEIGHTS = 0.5, 0.01, [0.4, 0.6]


def start(rng):
    return dict(U=[rng.standard_normal((d, INPUTS)) for d in D], u=[0.3 * rng.standard_normal(d) for d in D],
                E=[rng.standard_normal((HIDDEN, d)) for d in D], e=[0.3 * rng.standard_normal(HIDDEN) for _ in D],
                W=0.5 * rng.standard_normal((C, HIDDEN)), b=0.3 * rng.standard_normal(C))


def copied(value):
    if isinstance(value, dict):
        return {name: copied(one) for name, one in value.items()}
    return [copied(one) for one in value] if isinstance(value, list) else np.copy(value)


def features(state, m, x):
    return np.tanh(x @ state["U"][m].T + state["u"][m])


def classifiers(state, layers, m, f):
    """Pre-activations and logits of c_0 .. c_J."""
    pairs = [(state["E"][m], state["e"][m])] + [(one["weight"], one["bias"]) for one in layers[m]]
    inner = [f @ weight.T + bias for weight, bias in pairs]
    return inner, [np.maximum(t, 0) @ state["W"].T + state["b"] for t in inner]


def loss_of(c, targets, constant=None, sign=-1.0, first=False):
    """Class by class, as the cross-entropy with a soft target is defined; `constant` stands for softmax(old)."""
    z = sum(c)
    if len(c) == 1:
        return cross_entropy(z, targets)
    old, new = c[0] if first else sum(c[:-1]), c[-1]
    soft = one_hot(targets, C) * (softmax(old) if constant is None else constant)
    residual = -(soft * log_softmax(new)).sum() / len(targets)
    hard = cross_entropy(z, targets) + cross_entropy(old, targets) + cross_entropy(new, targets)
    return hard + sign * RESIDUAL * residual


def loss_by_weights(c, targets):
    """The second way: CE(new), each sample weighed by 1 - residual softmax(old)_y."""
    rows = np.arange(len(targets))
    nll = [-log_softmax(t)[rows, targets] for t in (sum(c), sum(c[:-1]), c[-1])]
    p_old = np.exp(-nll[1])
    return (nll[0] + nll[1] + (1 - RESIDUAL * p_old) * nll[2]).mean()


def logit_gradients(c, targets):
    """d loss / d c_j."""
    y, n = one_hot(targets, C), len(targets)
    to_all = (softmax(sum(c)) - y) / n
    if len(c) == 1:
        return [to_all]
    old, new = sum(c[:-1]), c[-1]
    weight = 1 - RESIDUAL * (softmax(old) * y).sum(axis=1, keepdims=True)
    return [to_all + (softmax(old) - y) / n] * (len(c) - 1) + [to_all + weight * (softmax(new) - y) / n]


def gradients(state, layers, m, x, targets):
    """Of every parameter of the turn by the chain rule, checked by central differences."""
    f = features(state, m, x)
    inner, c = classifiers(state, layers, m, f)
    g = logit_gradients(c, targets)
    weights = [state["E"][m]] + [one["weight"] for one in layers[m]]
    to_inner = [(gj @ state["W"]) * (t > 0) for gj, t in zip(g, inner)]
    to_x = sum(tj @ weight for tj, weight in zip(to_inner, weights)) * (1 - f**2)
    found = dict(W=sum(gj.T @ np.maximum(t, 0) for gj, t in zip(g, inner)), b=sum(gj.sum(axis=0) for gj in g),
                 U=to_x.T @ x, u=to_x.sum(axis=0), inner=[(tj.T @ f, tj.sum(axis=0)) for tj in to_inner])
    constant = softmax(sum(c[:-1])) if len(c) > 1 else None

    def value():
        return loss_of(classifiers(state, layers, m, features(state, m, x))[1], targets, constant)

    pairs = [(state["W"], found["W"]), (state["b"], found["b"]), (state["U"][m], found["U"]),
             (state["u"][m], found["u"]), (state["E"][m], found["inner"][0][0]), (state["e"][m], found["inner"][0][1])]
    pairs += [(one[name], gradient) for one, both in zip(layers[m], found["inner"][1:])
              for name, gradient in zip(("weight", "bias"), both)]
    for array, gradient in pairs:
        close(slopes(value, array), gradient, 1e-8)
    return found, c


def weaker(ratio, tolerance):
    return 1 if ratio > 1 + tolerance else 0 if ratio < 1 - tolerance else -1


def checked(epochs):
    every = epochs // 10 if epochs > 10 else 1
    return [epoch for epoch in range(epochs) if epoch == 0 or (epoch + 1) % every == 0]


def mistakes_of(state, found_head, layers, m, x, targets, c, values):
    head_before = dict(state, W=found_head["W"], b=found_head["b"])
    z_before = classifiers(head_before, layers, m, features(state, m, x))[1]
    wrong = dict(mistake_loss_head=loss_of(z_before, targets))
    assert m == 0 or differs(wrong["mistake_loss_head"], values["loss"], 1e-3)
    if len(c) > 1:
        wrong["mistake_loss_plus"] = loss_of(c, targets, sign=1.0)
        wrong["mistake_loss_without"] = loss_of(c, targets, sign=0.0)
        wrong["mistake_dW_flows"] = slopes(
            lambda: loss_of(classifiers(state, layers, m, features(state, m, x))[1], targets), state["W"])
        for name, right in (("loss_plus", "loss"), ("loss_without", "loss"), ("dW_flows", "dW")):
            assert differs(wrong["mistake_" + name], values[right], 0.005), name
    if len(c) > 2:
        wrong["mistake_loss_first"] = loss_of(c, targets, first=True)
        assert differs(wrong["mistake_loss_first"], values["loss"], 0.005)
    return wrong


def train(begin, inputs, targets, drawn, trained=True):
    state, layers = copied(begin), [[], []]
    steps, epochs, added_layers = [], [], []
    for epoch in range(EPOCHS):
        scores = np.zeros(2)
        for i in range(BATCHES):
            found_head = copied(state)
            for m in range(2):
                x, y = inputs[epoch, i, m], targets[epoch, i]
                found, c = gradients(state, layers, m, x, y)
                values = dict(epoch=epoch, batch=i, modality=m, count=len(layers[m]), loss=loss_of(c, y),
                              dW=found["W"], db=found["b"])
                close(values["loss"], loss_by_weights(c, y) if len(c) > 1 else cross_entropy(c[0], y))
                scores[m] += softmax(sum(c))[np.arange(B), y].sum()
                wrong = mistakes_of(state, found_head, layers, m, x, y, c, values) if trained else {}
                for name in "Wb":
                    state[name] = state[name] - RATE * found[name]
                for name, gradient in zip("UuEe", (found["U"], found["u"], *found["inner"][0])):
                    state[name][m] = state[name][m] - RATE * gradient
                if trained:
                    layers[m] = [dict(weight=one["weight"] - RATE * dw, bias=one["bias"] - RATE * db)
                                 for one, (dw, db) in zip(layers[m], found["inner"][1:])]
                steps.append(dict(values, W=state["W"], b=state["b"], **{name: state[name][m] for name in "UuEe"},
                                  layers=copied(layers[m]), **wrong))
        ratio = scores[0] / scores[1]
        added = weaker(ratio, TOLERANCE) if epoch in checked(EPOCHS) else -1
        epochs.append(dict(scores=scores, ratio=ratio, added=added))
        if added >= 0 and epoch + 1 < EPOCHS:
            draw = drawn[epoch]
            weight = np.sqrt(2 / (HIDDEN + D[added])) * draw[:, :D[added]]
            layers[added] = layers[added] + [dict(weight=weight, bias=np.zeros(HIDDEN))]
            added_layers.append(dict(epoch=epoch, modality=added, weight=weight, bias=np.zeros(HIDDEN)))
    return state, layers, steps, epochs, added_layers


def prediction(rng, state, layers):
    inputs = rng.standard_normal((2, B, INPUTS))

    def logits(of):
        return np.stack([sum(classifiers(state, of, m, features(state, m, inputs[m]))[1]) for m in range(2)])

    z = logits(layers)
    both = WEIGHTS[0] * z[0] + WEIGHTS[1] * z[1]
    wrong = dict(mistake_mean=z.mean(axis=0), mistake_swapped=WEIGHTS[1] * z[0] + WEIGHTS[0] * z[1],
                 mistake_without_layers=np.tensordot(WEIGHTS, logits([[], []]), 1))
    assert all(differs(value, both, 0.01) for value in wrong.values())
    return dict(inputs=inputs, modalities=z, weights=WEIGHTS,
                subsets=[dict(subset=mask + 1, z=value) for mask, value in enumerate((z[0], z[1], both))], **wrong)


def main():
    rng = np.random.default_rng(SEED)
    begin = start(rng)
    inputs = rng.standard_normal((EPOCHS, BATCHES, 2, B, INPUTS))
    targets = rng.integers(0, C, (EPOCHS, BATCHES, B))
    drawn = rng.standard_normal((EPOCHS, HIDDEN, max(D)))
    kept = copied(begin)
    state, layers, steps, epochs, added = train(begin, inputs, targets, drawn)
    assert all(np.array_equal(begin[name], kept[name]) for name in "Wb"), "training changes what it started from"
    assert {one["modality"] for one in added} == {0, 1}, "both modalities grow"
    assert max(len(one) for one in layers) > 1, "one of them twice"
    untrained = train(begin, inputs, targets, drawn, trained=False)[0]["W"]
    assert differs(untrained, state["W"], 0.005)

    ratios = [0.5, 0.985, 0.995, 1.0, 1.005, 1.015, 2.0]
    store.write(__file__, dict(
        seed=SEED, residual=RESIDUAL, tolerance=TOLERANCE,
        training=dict(rate=RATE, batches=BATCHES, hidden=HIDDEN, widths=D, start=kept, inputs=inputs, targets=targets,
                      layers=added, epochs=epochs, steps=steps, mistake_untrained=untrained),
        assignment=[dict(ratio=r, tolerance=TOLERANCE, modality=weaker(r, TOLERANCE)) for r in ratios],
        schedule=[dict(epochs=n, checked=checked(n)) for n in (1, 4, 10, 11, 20, 25, 100)],
        prediction=prediction(rng, state, layers)))
    print("added", [(one["epoch"], one["modality"]) for one in added], "ratios", [one["ratio"] for one in epochs])
    print("losses", [round(step["loss"], 4) for step in steps])


if __name__ == "__main__":
    main()
