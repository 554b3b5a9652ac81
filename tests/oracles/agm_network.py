#!/usr/bin/env python3
"""Oracle of AGM's gradients on small networks, by the published algorithm in its naive form. Writes
agm_network.json. Needs PyTorch (float64 on the CPU; values were made with Debian's 1.13).

Formulas and their source: agm_formulas.py. Every step, for every non-empty subset of the modalities, one
separate full forward pass with the other inputs zero: the full set first, in training mode; then the others
in evaluation mode, with gradient, with the statistics that the training pass left. Responses by Shapley
values, a hook on each that multiplies its gradient by kappa_m, and one backward pass of CE(sum_m phi_m).
Weights are not updated, so that the steps differ in their batch, in the earlier strengths and in
BatchNorm's buffers alone.

Network: encoder m = Linear(3, 4) [BatchNorm1d(4), eps 1e-5, momentum 0.1] tanh Linear(4, 3); fusion
`concat`: z = sum_m W_m f_m + b;  `mlp` (not additive): z = Linear(5, C)(tanh(Linear(3k, 5)(f_0 .. f_{k-1}))).
y = x W^T + b with W [out, in] in every linear layer; C = 3.

Per case: `parameters` and `buffers` by name (before the first step), `steps` with `inputs` [k, B, 3],
`targets` [B], `logits` [2^k - 1, B, C] (row S - 1, S a bit mask, modality m = bit m), `l`, `r`, `tau`,
`kappa` [k], `gradients` by name, `joint_gradients` (every kappa 1), and `buffers` after the step.
"""

import numpy as np
import torch
from torch import nn

import agm_formulas as agm
import store

SEED = 308
B, C, INPUTS, HIDDEN, WIDTH, STEPS = 5, 3, 3, 4, 3, 3
ALPHA, CAP = 1.5, 10.0


class Encoder(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.first = nn.Linear(INPUTS, HIDDEN)
        self.norm = nn.BatchNorm1d(HIDDEN) if norm else nn.Identity()
        self.second = nn.Linear(HIDDEN, WIDTH)

    def forward(self, x):
        return self.second(torch.tanh(self.norm(self.first(x))))


class Concat(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.weight = nn.ParameterList([nn.Parameter(torch.empty(C, WIDTH)) for _ in range(k)])
        self.bias = nn.Parameter(torch.empty(C))

    def forward(self, features):
        return sum(f @ w.t() for f, w in zip(features, self.weight)) + self.bias


class Mlp(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.hidden = nn.Linear(k * WIDTH, 5)
        self.output = nn.Linear(5, C)

    def forward(self, features):
        return self.output(torch.tanh(self.hidden(torch.cat(features, dim=1))))


class Model(nn.Module):
    def __init__(self, k, fusion, norm):
        super().__init__()
        self.encoder = nn.ModuleList([Encoder(norm) for _ in range(k)])
        self.fusion = fusion(k)

    def forward(self, inputs, mask):
        """Logits with the modalities of `mask` present: the other inputs are zeros."""
        shown = [x if mask >> m & 1 else torch.zeros_like(x) for m, x in enumerate(inputs)]
        return self.fusion([encode(x) for encode, x in zip(self.encoder, shown)])


def fill(model, rng):
    """Weights and buffers from NumPy's generator, in the order of the state; none is 0 or 1."""
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        values = 0.7 * rng.standard_normal(tuple(tensor.shape))
        if name.endswith("running_var") or name.endswith("norm.weight"):
            values = 0.5 + values**2
        tensor.copy_(torch.from_numpy(values))


def buffers(model):
    return {name: values.numpy().copy() for name, values in model.named_buffers()}


def every_logits(model, k, inputs):
    """z_S of all non-empty subsets, each in a pass of its own."""
    full = 2**k - 1
    model.train()
    logits = {full: model(inputs, full)}
    model.eval()
    for mask in range(1, full):
        logits[mask] = model(inputs, mask)
    return [logits[mask] for mask in range(1, full + 1)]


def modulated_gradients(model, k, logits, targets, kappa):
    """Backward of CE(sum phi) with a hook on every phi, as the authors do."""
    weights = agm.shapley_weights(k)
    phi = [sum(weights[m, mask] * logits[mask - 1] for mask in range(1, 2**k)) for m in range(k)]
    for one, factor in zip(phi, kappa):
        one.register_hook(lambda g, factor=factor: g * factor)
    loss = nn.functional.cross_entropy(sum(phi), targets)
    names, parameters = zip(*model.named_parameters())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
    return {name: g.numpy() for name, g in zip(names, gradients)}


def joint_gradients(model, logits, targets):
    names, parameters = zip(*model.named_parameters())
    loss = nn.functional.cross_entropy(logits[-1], targets)
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
    return {name: g.numpy() for name, g in zip(names, gradients)}


def difference(one, other):
    """Largest difference relative to the largest entry of its tensor."""
    return max(np.abs(one[name] - other[name]).max() / max(np.abs(other[name]).max(), 1e-3) for name in other)


def finite_differences(model, k, inputs, before, targets, kappa):
    """The same gradient without autograd: central differences of sum_m kappa_m <phi_m, g>, where g = dL/dz
    and the buffers of the partial passes are held fixed."""
    after = {name: values.clone() for name, values in model.named_buffers()}

    def restore(values):
        for name, buffer in model.named_buffers():
            buffer.copy_(torch.as_tensor(values[name]))

    def all_logits():
        restore(before)
        model.train()
        full = model(inputs, 2**k - 1)
        restore(after)
        model.eval()
        return np.stack([model(inputs, mask).numpy() for mask in range(1, 2**k - 1)] + [full.numpy()])

    gradients = {}
    with torch.no_grad():
        g = agm.loss_gradient(all_logits()[-1], targets.numpy())

        def value():
            return sum(factor * (phi * g).sum() for factor, phi in zip(kappa, agm.responses(k, all_logits())))

        step = 1e-5
        for name, parameter in model.named_parameters():
            flat, slopes = parameter.view(-1), []
            for i in range(len(flat)):
                kept = flat[i].item()
                flat[i] = kept + step
                above = value()
                flat[i] = kept - step
                slopes.append((above - value()) / (2 * step))
                flat[i] = kept
            gradients[name] = np.reshape(slopes, tuple(parameter.shape))
        restore(after)
    return gradients


def run(rng, k, fusion, norm):
    model = Model(k, fusion, norm).double()
    fill(model, rng)
    parameters = {name: values.detach().numpy().copy() for name, values in model.named_parameters()}
    case = dict(k=k, fusion=fusion.__name__.lower(), batch_norm=norm, alpha=ALPHA, cap=CAP,
                parameters=parameters, buffers=buffers(model), steps=[])
    earlier = []
    for _ in range(STEPS):
        inputs = torch.from_numpy(rng.standard_normal((k, B, INPUTS)))
        targets = torch.from_numpy(rng.integers(0, C, B))
        before = buffers(model)
        logits = every_logits(model, k, inputs)
        values = np.stack([z.detach().numpy() for z in logits])
        l = agm.losses(agm.responses(k, values), targets.numpy())
        r, tau, kappa = agm.kappas(l, earlier, ALPHA, CAP)
        earlier.append(l)

        gradients = modulated_gradients(model, k, logits, targets, kappa)
        joint = joint_gradients(model, logits, targets)
        neutral = modulated_gradients(model, k, logits, targets, np.ones(k))
        assert difference(neutral, joint) < 1e-12
        assert difference(gradients, joint) > 1e-2
        numeric = finite_differences(model, k, inputs, before, targets, kappa)
        assert difference(gradients, numeric) < 1e-6, difference(gradients, numeric)

        case["steps"].append(dict(inputs=inputs.numpy(), targets=targets.numpy(), logits=values, l=l, r=r,
                                  tau=tau, kappa=kappa, gradients=gradients, joint_gradients=joint,
                                  buffers=buffers(model)))
        print(k, fusion.__name__, "norm" if norm else "plain", "l", l, "kappa", kappa)
    return case


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    cases = [run(rng, k, fusion, norm) for k in (2, 3) for fusion in (Concat, Mlp) for norm in (False, True)]
    store.write(__file__, dict(seed=SEED, cases=cases))


if __name__ == "__main__":
    main()
