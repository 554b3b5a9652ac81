#!/usr/bin/env python3
"""Oracle of G-Blending's weights and of its blended loss. Writes gblending.json.

W. Wang, D. Tran, M. Feiszli, "What Makes Training Multi-Modal Classification Networks Hard?", CVPR 2020. For
each modality alone and for the joint model, in the order 0 .. k-1, joint, a copy is trained for n epochs;
with the mean losses over the samples of the training and the validation split, before (0) and after (n):
  G = L_V(0) - L_V(n)                               what it learnt that generalises
  O = (L_V(n) - L_T(n)) - (L_V(0) - L_T(0))         by how much it overfits more
  w = |G| / max(|O|, floor)^2, divided by the sum over all k + 1
  loss = sum_m w_m CE(z_m) + w_joint CE(z)          z_m of modality m's auxiliary head, z joint
|G| is what the code bases use, so that a model whose validation loss rises keeps a weight; `floor` (1e-4)
keeps the weights finite where a model does not overfit; when all G are 0 the weights are equal (both ours).

`cases`: `train_before`, `train_after`, `valid_before`, `valid_after` [k + 1, batches]: mean loss of each
batch, of `train_batches` and `valid_batches` samples; `before`, `after` [k + 1, 2]: L_T, L_V; `G`, `O`,
`weights` [k + 1].
Mistakes (weights): `mistake_sums`: sums of the batches' losses, as BalanceMM has it; `mistake_batch_mean`:
means of the batches' means, the last one being smaller; `mistake_not_squared`: |G| / |O|; `mistake_no_joint`:
normalised over the k modalities, the joint model with 1.
`loss`: heads' logits `unimodal` [k, B, C], `joint` [B, C], `targets`, `weights`, `loss`, gradients of both;
`mistake_unweighted`: CE(z) + sum_m CE(z_m). `schedule`: the epochs (from 0) at whose start weights are
estimated.
"""

import numpy as np

import store
from checks import differs, slopes
from numeric import cross_entropy, cross_entropy_gradient

SEED = 2020
FLOOR = 1e-4


def mean_per_sample(losses, sizes):
    return (losses * sizes).sum(axis=1) / sum(sizes)


def estimates(train_before, valid_before, train_after, valid_after):
    """G and O of every model."""
    return valid_before - valid_after, (valid_after - train_after) - (valid_before - train_before)


def weights(g, o, power=2):
    raw = np.abs(g) / np.maximum(np.abs(o), FLOOR)**power
    return raw / raw.sum() if raw.sum() > 0 else np.full(len(g), 1 / len(g))


def least_overfitting(g, o):
    """The weights that minimise sum w^2 O^2 with sum w |G| = 1, divided by their sum: Lagrange's system."""
    n = len(g)
    system = np.zeros((n + 1, n + 1))
    system[:n, :n] = 2 * np.diag(o**2)
    system[:n, n] = system[n, :n] = np.abs(g)
    w = np.linalg.solve(system, np.append(np.zeros(n), 1.0))[:n]
    return w / w.sum()


def case(curves, train_batches, valid_batches):
    curves = {name: np.array(values, float) for name, values in curves.items()}
    sizes = {name: train_batches if name.startswith("train") else valid_batches for name in curves}
    order = ("train_before", "valid_before", "train_after", "valid_after")
    means = [mean_per_sample(curves[name], sizes[name]) for name in order]
    g, o = estimates(*means)
    w = weights(g, o)
    if (g != 0).all() and (np.abs(o) > FLOOR).all():
        np.testing.assert_allclose(w, least_overfitting(g, o), rtol=1e-9)
    modalities = weights(g[:-1], o[:-1])
    return dict(k=len(g) - 1, floor=FLOOR, train_batches=train_batches, valid_batches=valid_batches, **curves,
                before=np.column_stack(means[:2]), after=np.column_stack(means[2:]), G=g, O=o, weights=w,
                mistake_sums=weights(*estimates(*[curves[name].sum(axis=1) for name in order])),
                mistake_batch_mean=weights(*estimates(*[curves[name].mean(axis=1) for name in order])),
                mistake_not_squared=weights(g, o, 1), mistake_no_joint=np.append(modalities, 1.0))


def curves_of(rng, levels, train_batches, valid_batches):
    """Batches' losses around the given means (rows: model; columns: L_T(0), L_V(0), L_T(n), L_V(n)); the
    smaller last batch is the hardest."""
    curves = {}
    for column, name in enumerate(("train_before", "valid_before", "train_after", "valid_after")):
        sizes = train_batches if name.startswith("train") else valid_batches
        noise = 0.05 * rng.standard_normal((len(levels), len(sizes)))
        noise[:, -1] += 0.15 * (1 + rng.random(len(levels)))
        curves[name] = np.array(levels)[:, column:column + 1] + noise
    return curves


def loss(rng, w, batch=5, outputs=3):
    k = len(w) - 1
    unimodal, joint = rng.standard_normal((k, batch, outputs)), rng.standard_normal((batch, outputs))
    targets = rng.integers(0, outputs, batch)

    def value():
        terms = [w[m] * cross_entropy(unimodal[m], targets) for m in range(k)]
        return sum(terms) + w[k] * cross_entropy(joint, targets)

    gradients = np.stack([w[m] * cross_entropy_gradient(unimodal[m], targets) for m in range(k)])
    joint_gradient = w[k] * cross_entropy_gradient(joint, targets)
    np.testing.assert_allclose(slopes(value, unimodal), gradients, atol=1e-9)
    np.testing.assert_allclose(slopes(value, joint), joint_gradient, atol=1e-9)
    plain = cross_entropy(joint, targets) + sum(cross_entropy(z, targets) for z in unimodal)
    assert differs(value(), plain)
    return dict(unimodal=unimodal, joint=joint, targets=targets, weights=w, loss=value(),
                unimodal_gradient=gradients, joint_gradient=joint_gradient, mistake_unweighted=plain)


def schedule(epochs, super_epoch):
    """Online: every `super_epoch` epochs, by probe runs as long; offline: once, by runs of all epochs."""
    online = list(range(0, epochs, super_epoch))
    return dict(epochs=epochs, super_epoch=super_epoch, online=online, offline=[0])


def main():
    rng = np.random.default_rng(SEED)
    train, valid = [4, 4, 4, 2], [4, 1]
    levels = [[2.3, 2.3, 1.1, 1.6], [2.2, 2.25, 1.7, 1.9], [2.35, 2.3, 0.6, 1.5]]
    two = case(curves_of(rng, levels, train, valid), train, valid)
    # The third modality's validation loss rises: its G is negative.
    levels = [[2.3, 2.3, 1.3, 1.7], [2.2, 2.2, 1.8, 2.0], [2.3, 2.35, 1.9, 2.7], [2.3, 2.3, 0.9, 1.5]]
    three = case(curves_of(rng, levels, train, valid), train, valid)
    assert three["G"][2] < 0 < three["weights"][2]
    for one in (two, three):
        assert abs(one["weights"].sum() - 1) < 1e-15 and (one["O"] > 0).all()
        for name in ("sums", "batch_mean", "not_squared", "no_joint"):
            assert differs(one["mistake_" + name], one["weights"]), name

    def single(rows):
        names = ("train_before", "valid_before", "train_after", "valid_after")
        return case({name: np.array(rows)[:, i:i + 1] for i, name in enumerate(names)}, [8], [4])

    no_overfitting = single([[2.0, 2.0, 1.5, 1.5], [2.0, 2.0, 1.0, 1.25], [2.0, 2.0, 1.0, 1.5]])
    assert no_overfitting["O"][0] == 0 and no_overfitting["weights"][0] > 0.99
    untrained = single([[2.0, 2.25, 1.5, 2.25]] * 3)
    assert np.array_equal(untrained["weights"], np.full(3, 1 / 3))
    for one in (no_overfitting, untrained):  # one batch each, nothing learnt: the mistakes do not show
        for name in [name for name in one if name.startswith("mistake")]:
            del one[name]

    store.write(__file__, dict(seed=SEED, cases=dict(two=two, three=three, no_overfitting=no_overfitting,
                                                     untrained=untrained),
                               loss=dict(two=loss(rng, two["weights"]), three=loss(rng, three["weights"])),
                               schedule=schedule(25, 10)))
    for name, one in (("two", two), ("three", three)):
        print(name, {key: one[key] for key in ("G", "O", "weights")},
              {key: one[key] for key in one if key.startswith("mistake")})


if __name__ == "__main__":
    main()
