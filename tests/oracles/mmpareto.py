#!/usr/bin/env python3
"""Oracle of MMPareto's gradients. Writes mmpareto.json. Needs PyTorch (float64 on the CPU).

Y. Wei, D. Hu, "MMPareto: Boosting Multimodal Learning with Innocent Unimodal Assistance", ICML 2024, and the
authors' code (MMPareto_ICML2024). L = CE(z) of the joint logits, L_m = CE(z_m) of modality m's auxiliary
head; per batch and modality m, over all parameters of encoder m taken as one vector:
  g, g_m    = gradients of L and of L_m, each by itself
  cos       = <g, g_m> / (|g| |g_m|), 0 where one of them is 0
  w, 1 - w  = 1/2, 1/2 where cos > 0; else w = argmin |w g + (1 - w) g_m|^2, which is
              <g_m - g, g_m> / |g - g_m|^2 strictly between, 0.999 where <g, g_m> >= |g|^2, 0.001 where it is
              >= |g_m|^2 (with cos <= 0 only where one of the gradients is 0)
and for every tensor of encoder m, |.| now of that tensor and s the gradient of L + sum_n L_n:
  h = 2 w g + 2 (1 - w) g_m
  gradient = gamma h max(1, |s| / |h|)         gamma 1.5; 0 where h is 0
Everything outside the encoders (fusion, joint head, auxiliary heads) keeps s.

Network: encoder m = Linear(3, 4) tanh Linear(4, 3); z = sum_m W_m f_m + b; z_m = Linear(3, C)(f_m). Names:
encoder.M.first|second.weight|bias, joint.weight.M, joint.bias, head.M.weight|bias; y = x W^T + b.
`cases` `agree` (cos > 0), `conflict` (one modality < 0), `three`: `parameters`, `inputs` [k, B, 3],
`targets`, `losses` [1 + k] (L, L_m), `g_joint`, `g_unimodal`, `g_sum` by name (encoders), `cos`, `w` [k]
(weight of g), `gradients` by name (all parameters).
Mistakes: `mistake_cos` and `mistake_gradients` (encoders): gradients copied after all backwards, without
zeroing in between, as in BalanceMM; `mistake_heads`: auxiliary heads times gamma; in the cases with a cos < 0
also `mistake_one_norm`: |s| / |h| of the whole encoder, `mistake_no_rescaling`: gamma h, `mistake_halves`:
w = 1/2.
`combine`: g, g_m, s as vectors (one tensor), cos, w, `gradient`, for the corners of the rule.
"""

import numpy as np
import torch
from torch import nn

import store
from checks import differs, slopes

SEED = 2024
B, C, INPUTS, HIDDEN, WIDTH = 6, 3, 3, 4, 3
GAMMA = 1.5


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(INPUTS, HIDDEN)
        self.second = nn.Linear(HIDDEN, WIDTH)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


class Joint(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.weight = nn.ParameterList([nn.Parameter(torch.empty(C, WIDTH)) for _ in range(k)])
        self.bias = nn.Parameter(torch.empty(C))

    def forward(self, features):
        return sum(f @ w.t() for f, w in zip(features, self.weight)) + self.bias


class Model(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.encoder = nn.ModuleList([Encoder() for _ in range(k)])
        self.joint = Joint(k)
        self.head = nn.ModuleList([nn.Linear(WIDTH, C) for _ in range(k)])

    def losses(self, inputs, targets):
        """[L, L_0, L_1, ...]"""
        features = [encode(x) for encode, x in zip(self.encoder, inputs)]
        logits = [self.joint(features), *[head(f) for head, f in zip(self.head, features)]]
        return [nn.functional.cross_entropy(z, targets) for z in logits]


def cosine(a, b):
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / norms if norms > 0 else 0.0


def weight(g, g_m):
    """w, the weight of the joint gradient."""
    if cosine(g, g_m) > 0:
        return 0.5
    if g @ g_m >= g @ g:
        return 0.999
    if g @ g_m >= g_m @ g_m:
        return 0.001
    return (g_m - g) @ g_m / ((g - g_m) @ (g - g_m))


def combined(g, g_m, w):
    return 2 * w * g + 2 * (1 - w) * g_m


def scale(s, h):
    norm = np.linalg.norm(h)
    return max(1.0, np.linalg.norm(s) / norm) if norm > 0 else 1.0


def rescaled(g, g_m, s, w):
    h = combined(g, g_m, w)
    return GAMMA * h * scale(s, h)


def check_least_norm(g, g_m, w):
    """No other weight on a fine grid gives a shorter vector."""
    if cosine(g, g_m) > 0 or not g.any() or not g_m.any():
        return
    grid = [np.linalg.norm(c * g + (1 - c) * g_m) for c in np.linspace(0, 1, 2001)]
    assert np.linalg.norm(w * g + (1 - w) * g_m) <= min(grid) + 1e-12
    assert abs(np.argmin(grid) / 2000 - w) < 1e-3


def gradients_of(loss, parameters):
    found = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, allow_unused=True)
    return {name: np.zeros(tuple(p.shape)) if g is None else g.numpy()
            for (name, p), g in zip(parameters.items(), found)}


def flat(gradients, names):
    return np.concatenate([gradients[name].ravel() for name in names])


def fill(model, rng):
    for parameter in model.parameters():
        parameter.data.copy_(torch.from_numpy(0.7 * rng.standard_normal(tuple(parameter.shape))))


def build(rng, k):
    model = Model(k).double()
    fill(model, rng)
    inputs = torch.from_numpy(rng.standard_normal((k, B, INPUTS)))
    return model, inputs, torch.from_numpy(rng.integers(0, C, B))


def run(model, inputs, targets):
    k = len(inputs)
    parameters = dict(model.named_parameters())
    losses = model.losses(inputs, targets)
    each = [gradients_of(loss, parameters) for loss in losses]
    total = gradients_of(sum(losses), parameters)
    one_by_one = {name: sum(g[name] for g in each) for name in parameters}
    for name in parameters:
        np.testing.assert_allclose(total[name], one_by_one[name], rtol=0, atol=1e-14)

    result, stored = dict(total), {"g_joint": {}, "g_unimodal": {}, "g_sum": {}}
    names = [[name for name in parameters if name.startswith(f"encoder.{m}.")] for m in range(k)]
    cos, w = np.zeros(k), np.zeros(k)
    wrong = {"mistake_" + name: {} for name in ("gradients", "one_norm", "no_rescaling", "halves")}
    for m in range(k):
        g, g_m = flat(each[0], names[m]), flat(each[1 + m], names[m])
        cos[m], w[m] = cosine(g, g_m), weight(g, g_m)
        check_least_norm(g, g_m, w[m])
        whole = scale(flat(total, names[m]), combined(g, g_m, w[m]))
        for name in names[m]:
            parts = each[0][name], each[1 + m][name], total[name]
            stored["g_joint"][name], stored["g_unimodal"][name], stored["g_sum"][name] = parts
            result[name] = rescaled(*parts, w[m])
            assert np.linalg.norm(result[name]) >= GAMMA * np.linalg.norm(total[name]) * (1 - 1e-12)
            # All of them hold the sum of everything so far: the third is g + sum_n g_n, for both.
            wrong["mistake_gradients"][name] = rescaled(total[name], total[name], total[name], 0.5)
            np.testing.assert_allclose(wrong["mistake_gradients"][name], 3 * total[name], rtol=1e-14)
            h = combined(*parts[:2], w[m])
            wrong["mistake_one_norm"][name] = GAMMA * h * whole
            wrong["mistake_no_rescaling"][name] = GAMMA * h
            wrong["mistake_halves"][name] = rescaled(*parts, 0.5)
    wrong["mistake_heads"] = {name: GAMMA * total[name] for name in parameters if name.startswith("head.")}
    if (cos > 0).all():  # then h is s, and the rest of the rule is not seen
        for name in ("mistake_one_norm", "mistake_no_rescaling", "mistake_halves"):
            del wrong[name]

    values = {name: p.detach().numpy().copy() for name, p in parameters.items()}
    return dict(k=k, gamma=GAMMA, parameters=values, inputs=inputs.numpy(), targets=targets.numpy(),
                losses=[loss.item() for loss in losses], **stored, cos=cos, w=w, gradients=result,
                mistake_cos=np.ones(k), **wrong)


def check_slopes(model, inputs, targets, case):
    """g and g_m by central differences, without autograd."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("encoder."):
                continue
            m = int(name.split(".")[1])
            array = parameter.numpy()  # shares the memory
            for key, index in (("g_joint", 0), ("g_unimodal", 1 + m)):
                found = slopes(lambda index=index: model.losses(inputs, targets)[index].item(), array, 1e-5)
                np.testing.assert_allclose(found, case[key][name], rtol=0, atol=1e-8)


def searched(rng, k, signs):
    """The first random network and batch whose cosines have the given signs, and none is near 0 or 1."""
    while True:
        model, inputs, targets = build(rng, k)
        case = run(model, inputs, targets)
        if np.array_equal(np.sign(case["cos"]), signs) and (np.abs(np.abs(case["cos"]) - 0.45) < 0.35).all():
            check_slopes(model, inputs, targets, case)
            for name in [name for name in case if name.startswith("mistake_") and name != "mistake_cos"]:
                assert any(differs(case[name][key], case["gradients"][key]) for key in case[name]), name
            return case


def corners(rng):
    g, other, s = rng.standard_normal((3, 5))
    orthogonal = other - (other @ g) / (g @ g) * g
    cases = {
        "agree": (g, g + 0.5 * other, s),
        "conflict": (g, -0.4 * g + 0.3 * orthogonal, s),
        "orthogonal": (np.array([2.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([2.0, 1.0, 0.0])),
        "opposed": (g, -g, s),
        "opposed_longer": (g, -3 * g, -2 * g),
        "dead_unimodal": (g, np.zeros(5), g),
        "dead_joint": (np.zeros(5), g, g),
        "dead_both": (np.zeros(5), np.zeros(5), np.zeros(5)),
    }
    result = {}
    for name, (a, b, total) in cases.items():
        w = weight(a, b)
        check_least_norm(a, b, w)
        result[name] = dict(g=a, g_m=b, s=total, cos=cosine(a, b), w=w, gradient=rescaled(a, b, total, w))
    assert result["orthogonal"]["w"] == 0.2
    assert not result["opposed"]["gradient"].any(), "the two cancel"
    assert result["dead_unimodal"]["w"] == 0.001 and result["dead_joint"]["w"] == 0.999
    for name in ("dead_unimodal", "dead_joint"):
        np.testing.assert_allclose(result[name]["gradient"], GAMMA * g, rtol=1e-12)
    return result


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    cases = {
        "agree": searched(rng, 2, [1, 1]),
        "conflict": searched(rng, 2, [-1, 1]),
        "three": searched(rng, 3, [1, -1, -1]),
    }
    store.write(__file__, dict(seed=SEED, cases=cases, combine=corners(rng)))
    for name, case in cases.items():
        print(name, "cos", case["cos"], "w", case["w"])


if __name__ == "__main__":
    main()
