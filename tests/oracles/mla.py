#!/usr/bin/env python3
"""Oracle of MLA's projected head gradient and of its gated prediction. Writes mla.json.

X. Zhang, J. Yoon, M. Bansal, H. Yao, "Multimodal Representation Learning by Alternating Unimodal Adaptation",
CVPR 2024, and the authors' code. One head z_m = W f_m + b shared by all modalities (features of one width d).
In batch i (from 0) of n in the epoch, for m = 0 .. k-1 in turn: the loss CE(z_m) with the head as the
modality before left it, its gradient in encoder m and head, then (not in the run's first such step):
  r = mean over the batch of f_m [d],  q = P r,  a = 0.1^(1 + i/n)
  P <- P - q q^T / (a + <r, q>),  P <- P / |P|_F          P starts as the identity and lasts over epochs
  dW <- dW P^T                                            replaced; b's gradient stays as it is
and one update of encoder m and head. Evaluation, per sample:
  H_m = entropy of softmax(z_m),  g_m = exp(max_n H_n - H_m) / sum,  z = sum_m g_m z_m
over the modalities that are present; or with fixed weights alpha_m, divided by the sum of those present.
The authors' code divides element by element by the matrix a + q r^T: `projection` "elementwise"; the formula,
recursive least squares, has the number a + <r, q>: "scalar". In evaluation it takes the softmax over the
batch and one entropy for all samples, so that a prediction depends on the other samples
(`mistake_batch_gate`).

`training`: encoder m = tanh(x U_m^T + u_m), plain SGD with `rate`; two epochs of `inputs` [E, n, k, B, 3] and
`targets` [E, n, B]; `steps` in order, k to a batch: `epoch`, `batch`, `modality`, `loss`, `a`, `r`, `P`
(after), `dW` (as backward gives it), `projected` (as the update uses it), `db`, and `W`, `b`, `U`, `u` (of
that modality) after the update. `two_elementwise` has the data of `two`.
Mistakes, each of the step's own state: `mistake_added`: dW + dW P^T; `mistake_not_normalised`: dW P^T without
|P|_F; `mistake_elementwise_P` (scalar cases). `mistake_joint_loss`: the loss of every step when all
modalities are computed with the head that the batch found.
`prediction`: `logits` [k, B, C], `entropies` [k, B], `gates` [k, B], `z`; `subsets`: bit mask, `z`; `fixed`:
`alpha`, `z` of each subset.
"""

import numpy as np

import store
from checks import differs, slopes
from numeric import cross_entropy, cross_entropy_gradient, softmax

SEED = 2024
B, C, INPUTS, D = 5, 3, 3, 4
EPOCHS, BATCHES, RATE = 2, 3, 0.4


def alpha_of(i, n):
    return 0.1 ** (1 + i / n)


def projector(p, r, a, projection):
    """P after one update, not yet normalised."""
    q = p @ r
    if projection == "scalar":
        return p - np.outer(q, q) / (a + r @ q)
    return p - np.outer(q, q) / (a + np.outer(q, r))


def normalised(p):
    return p / np.sqrt((p**2).sum())


def start(rng, k):
    return dict(U=[rng.standard_normal((D, INPUTS)) for _ in range(k)],
                u=[rng.standard_normal(D) for _ in range(k)],
                W=rng.standard_normal((C, D)), b=rng.standard_normal(C))


def copied(state):
    return {name: [one.copy() for one in value] if isinstance(value, list) else value.copy()
            for name, value in state.items()}


def loss_of(state, m, x, targets):
    return cross_entropy(np.tanh(x @ state["U"][m].T + state["u"][m]) @ state["W"].T + state["b"], targets)


def gradients(state, m, x, targets):
    """dW, db, dU, du and the features; checked by central differences."""
    f = np.tanh(x @ state["U"][m].T + state["u"][m])
    g = cross_entropy_gradient(f @ state["W"].T + state["b"], targets)
    inner = (g @ state["W"]) * (1 - f**2)
    found = dict(W=g.T @ f, b=g.sum(axis=0), U=inner.T @ x, u=inner.sum(axis=0))
    for name, gradient in found.items():
        array = state[name][m] if name in "Uu" else state[name]
        np.testing.assert_allclose(slopes(lambda: loss_of(state, m, x, targets), array), gradient, atol=1e-8)
    return found, f


def train(begin, inputs, targets, projection):
    k = inputs.shape[2]
    state, p, steps = copied(begin), np.eye(D), []
    for epoch in range(EPOCHS):
        for i in range(BATCHES):
            found_head = copied(state)
            for m in range(k):
                x, y = inputs[epoch, i, m], targets[epoch, i]
                loss = loss_of(state, m, x, y)
                found, f = gradients(state, m, x, y)
                a, r, projected, extra = alpha_of(i, BATCHES), f.mean(axis=0), found["W"], {}
                if steps:
                    raw = projector(p, r, a, projection)
                    if projection == "scalar":  # Woodbury: the inverse grows by r r^T / a
                        np.testing.assert_allclose(np.linalg.inv(raw), np.linalg.inv(p) + np.outer(r, r) / a,
                                                   rtol=1e-7, atol=1e-7 * np.abs(np.linalg.inv(raw)).max())
                        np.testing.assert_allclose(raw, raw.T, atol=1e-14)
                        extra["mistake_elementwise_P"] = normalised(projector(p, r, a, "elementwise"))
                        assert differs(extra["mistake_elementwise_P"], normalised(raw), 0.002)
                    p = normalised(raw)
                    projected = found["W"] @ p.T
                    extra["mistake_added"] = found["W"] + projected
                    extra["mistake_not_normalised"] = found["W"] @ raw.T
                    assert differs(extra["mistake_added"], projected)
                    assert differs(extra["mistake_not_normalised"], projected) or len(steps) > 1
                state["W"] = state["W"] - RATE * projected
                state["b"] = state["b"] - RATE * found["b"]
                state["U"][m] = state["U"][m] - RATE * found["U"]
                state["u"][m] = state["u"][m] - RATE * found["u"]
                steps.append(dict(epoch=epoch, batch=i, modality=m, loss=loss, a=a, r=r, P=p, dW=found["W"],
                                  projected=projected, db=found["b"], W=state["W"], b=state["b"],
                                  U=state["U"][m], u=state["u"][m], **extra,
                                  mistake_joint_loss=loss_of(found_head, m, x, y)))
    return steps


def training(rng, k):
    begin = start(rng, k)
    inputs = rng.standard_normal((EPOCHS, BATCHES, k, B, INPUTS))
    targets = rng.integers(0, C, (EPOCHS, BATCHES, B))
    common = dict(k=k, rate=RATE, batches=BATCHES, start=copied(begin), inputs=inputs, targets=targets)
    scalar, elementwise = (train(begin, inputs, targets, name) for name in ("scalar", "elementwise"))
    assert np.array_equal(begin["W"], common["start"]["W"]), "training has not changed what it started from"
    assert np.array_equal(scalar[0]["dW"], scalar[0]["projected"])
    assert np.array_equal(scalar[0]["P"], np.eye(D))
    assert scalar[0]["mistake_joint_loss"] == scalar[0]["loss"] != scalar[1]["mistake_joint_loss"]
    assert differs(elementwise[-1]["W"], scalar[-1]["W"])
    return (dict(common, projection="scalar", steps=scalar),
            dict(k=k, projection="elementwise", steps=elementwise))


def entropy(z):
    p = softmax(z)
    return -(p * np.log(p)).sum(axis=-1)


def gated(logits):
    """z, entropies and gates; `logits` of the modalities that are present."""
    h = np.stack([entropy(z) for z in logits])
    g = np.exp(h.max(axis=0) - h)
    g = g / g.sum(axis=0)
    return (g[:, :, None] * logits).sum(axis=0), h, g


def batch_gated(logits):
    """As the authors' code: softmax over the batch, one entropy per modality."""
    h = np.array([entropy(z.T).sum() for z in logits])
    g = np.exp(h.max() - h) / np.exp(h.max() - h).sum()
    return (g[:, None, None] * logits).sum(axis=0), g


def prediction(rng, k, alpha):
    logits = 1.5 * rng.standard_normal((k, B, C))
    logits[0, 0] *= 4  # modality 0 is sure of sample 0
    z, h, g = gated(logits)
    for b in range(B):  # sample by sample, by the definition
        weights = [np.exp(max(h[:, b]) - h[m, b]) for m in range(k)]
        by_hand = sum(weights[m] * logits[m, b] for m in range(k)) / sum(weights)
        np.testing.assert_allclose(z[b], by_hand, rtol=0, atol=1e-14)
        np.testing.assert_allclose(gated(logits[:, b:b + 1])[0][0], z[b], atol=1e-14)
    alpha = np.array(alpha)
    subsets, fixed = [], []
    for mask in range(1, 2**k):
        present = [m for m in range(k) if mask >> m & 1]
        subsets.append(dict(subset=mask, z=gated(logits[present])[0]))
        weights = alpha[present] / alpha[present].sum()
        fixed.append(dict(subset=mask, z=(weights[:, None, None] * logits[present]).sum(axis=0)))
    np.testing.assert_allclose(subsets[0]["z"], logits[0], atol=1e-15)
    wrong, wrong_gates = batch_gated(logits)
    assert differs(wrong, z) and differs(logits.mean(axis=0), z) and np.array_equal(subsets[-1]["z"], z)
    return dict(k=k, logits=logits, entropies=h, gates=g, z=z, subsets=subsets,
                fixed=dict(alpha=alpha, z=fixed), mistake_batch_gate=wrong,
                mistake_batch_gates=wrong_gates, mistake_mean=logits.mean(axis=0))


def main():
    rng = np.random.default_rng(SEED)
    two, two_elementwise = training(rng, 2)
    stored = dict(two=two, two_elementwise=two_elementwise, three=training(rng, 3)[0])
    predictions = dict(two=prediction(rng, 2, [0.5, 0.5]), three=prediction(rng, 3, [0.35, 0.25, 0.4]))
    store.write(__file__, dict(seed=SEED, training=stored, prediction=predictions))
    for name, case in stored.items():
        print(name, "losses", [round(step["loss"], 4) for step in case["steps"]])
    print("gates", predictions["two"]["gates"])


if __name__ == "__main__":
    main()
