#!/usr/bin/env python3
"""Oracle of DGL's gradients on small networks. Writes dgl.json. Needs PyTorch (float64 on the CPU; values were made
with Debian's 1.13).

S. Wei, C. Luo, Y. Luo, "Boosting Multimodal Learning via Disentangled Gradient Learning", ICCV 2025, and the authors'
code (ICCV2025-GDL).
  z   = fuse(f_1 .. f_k), the f_m detached: CE(z) alone trains the fusion
  z_m = fuse(0 .. f_m .. 0), the other *features* are zeros, with the whole bias
  alpha sum_m CE(z_m) alone trains the encoders (alpha 4); what it gives the fusion is dropped
  then all gradients are clipped to a global norm of 40: times 40 / (norm + 1e-6), at most 1
The encoders run once, in training mode. (The published code takes z_m like this for concat alone: for sum it is
the modality's own layer without the others' biases, for film and gated the modality is fused with itself. Its gated
fusion detaches behind its first layers, which are then never trained: here every layer of the fusion is.)

Networks and names: agm_network.py. Per case `parameters` and `buffers` before, `inputs` [k, B, 3], `targets`, `alpha`,
`logits` [B, C], `unimodal` [k, B, C], `loss` = CE(z), `losses` [k] = CE(z_m), `gradients`, `norm`, and for a `max_norm`
under it `clipped`; `buffers_after`. Mistakes, by name: mistake_fusion_kept (the fusion also gets what alpha sum_m
CE(z_m) gives it), mistake_not_detached (the encoders also get the gradient of CE(z)), mistake_share (k b/k instead of
b in z_m: the share; concat alone), mistake_averaged (mean over the modalities).
"""

import numpy as np
import torch
from torch import nn

import store
from agm_network import B, C, INPUTS, Concat, Mlp, Model, buffers, difference, fill
from numeric import close, cross_entropy, far

SEED = 2507
ALPHA = 4.0


def encoder_names(gradients):
    return [name for name in gradients if name.startswith("encoder")]


def alone(features, m):
    return [f if n == m else torch.zeros_like(f) for n, f in enumerate(features)]


def gradients_of(loss, model):
    names, parameters = zip(*model.named_parameters())
    values = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return {name: (torch.zeros_like(p) if g is None else g).numpy().copy()
            for name, p, g in zip(names, parameters, values)}


def two_backwards(model, features, targets):
    """As the authors do it: backward, drop the fusion's gradients, backward."""
    for parameter in model.parameters():
        parameter.grad = None
    losses = [nn.functional.cross_entropy(model.fusion(alone(features, m)), targets) for m in range(len(features))]
    (ALPHA * sum(losses)).backward(retain_graph=True)
    for parameter in model.fusion.parameters():
        parameter.grad = None
    nn.functional.cross_entropy(model.fusion([f.detach() for f in features]), targets).backward()
    return {name: p.grad.numpy().copy() for name, p in model.named_parameters()}


def finite_differences(model, inputs, targets, before):
    """Of alpha sum_m CE(z_m) for the encoders, of CE(z) for the fusion: no autograd."""
    y = targets.numpy()

    def features():
        for name, buffer in model.named_buffers():
            buffer.copy_(torch.as_tensor(before[name]))
        return [encode(x) for encode, x in zip(model.encoder, inputs)]

    def of_encoders():
        shown = features()
        return ALPHA * sum(cross_entropy(model.fusion(alone(shown, m)).numpy(), y) for m in range(len(shown)))

    fixed = features()

    def of_fusion():
        return cross_entropy(model.fusion(fixed).numpy(), y)

    gradients, step = {}, 1e-5
    for name, parameter in model.named_parameters():
        value = of_encoders if name.startswith("encoder") else of_fusion
        flat, slopes = parameter.view(-1), []
        for i in range(len(flat)):
            kept = flat[i].item()
            flat[i] = kept + step
            above = value()
            flat[i] = kept - step
            slopes.append((above - value()) / (2 * step))
            flat[i] = kept
        gradients[name] = np.reshape(slopes, tuple(parameter.shape))
    features()
    return gradients


def run(rng, k, fusion, norm):
    model = Model(k, fusion, norm).double()
    with torch.no_grad():
        fill(model, rng)
    parameters = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    before = buffers(model)
    inputs = torch.from_numpy(rng.standard_normal((k, B, INPUTS)))
    targets = torch.from_numpy(rng.integers(0, C, B))

    model.train()
    features = [encode(x) for encode, x in zip(model.encoder, inputs)]
    after = buffers(model)
    z = model.fusion(features)
    unimodal = [model.fusion(alone(features, m)) for m in range(k)]
    loss, losses = nn.functional.cross_entropy(z, targets), [nn.functional.cross_entropy(one, targets)
                                                             for one in unimodal]
    of_joint, of_unimodal = gradients_of(loss, model), gradients_of(ALPHA * sum(losses), model)
    gradients = {name: of_unimodal[name] if name.startswith("encoder") else of_joint[name] for name in of_joint}
    assert difference(two_backwards(model, features, targets), gradients) < 1e-12
    assert all(np.abs(g).max() > 1e-6 for name, g in gradients.items() if "first.bias" not in name)

    # The gradients that two_backwards left.
    total = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    max_norm = 0.5 * total
    clipped = {name: g * min(max_norm / (total + 1e-6), 1.0) for name, g in gradients.items()}
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    assert difference({name: p.grad.numpy() for name, p in model.named_parameters()}, clipped) < 1e-12

    kept = {name: g if name.startswith("encoder") else g + of_unimodal[name] for name, g in gradients.items()}
    joined = {name: g + of_joint[name] if name.startswith("encoder") else g for name, g in gradients.items()}
    averaged = {name: g / k if name.startswith("encoder") else g for name, g in gradients.items()}
    mistakes = {"fusion_kept": kept, "not_detached": joined, "averaged": averaged}
    if fusion is Concat:
        shares = [one - model.fusion.bias * (1 - 1 / k) for one in unimodal]
        close(sum(shares).detach().numpy(), z.detach().numpy())
        by_share = gradients_of(ALPHA * sum(nn.functional.cross_entropy(one, targets) for one in shares), model)
        mistakes["share"] = {name: by_share[name] if name.startswith("encoder") else g
                             for name, g in gradients.items()}
    for wrong in mistakes.values():
        assert difference(wrong, gradients) > 1e-2
        far(*[np.concatenate([g.ravel() for g in each.values()]) for each in (wrong, gradients)])

    # Last, since it moves the weights, and autograd refuses a graph whose weights have moved.
    with torch.no_grad():
        numeric = finite_differences(model, inputs, targets, before)
    assert difference(gradients, numeric) < 1e-6

    print(k, fusion.__name__, "norm" if norm else "plain", "loss", loss.item(),
          "losses", [one.item() for one in losses], "gradient norm", total)
    return dict(k=k, fusion=fusion.__name__.lower(), batch_norm=norm, alpha=ALPHA, parameters=parameters,
                buffers=before, inputs=inputs.numpy(), targets=targets.numpy(), logits=z.detach().numpy(),
                unimodal=[one.detach().numpy() for one in unimodal], loss=loss.item(),
                losses=[one.item() for one in losses], gradients=gradients, norm=total, max_norm=max_norm,
                clipped=clipped, buffers_after=after,
                **{f"mistake_{name}": wrong for name, wrong in mistakes.items()})


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    cases = [run(rng, k, fusion, norm) for k, fusion, norm in
             ((2, Concat, False), (2, Mlp, False), (3, Concat, False), (3, Mlp, False), (2, Concat, True))]
    store.write(__file__, dict(seed=SEED, cases=cases))


if __name__ == "__main__":
    main()
