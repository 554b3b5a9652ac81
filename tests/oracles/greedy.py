#!/usr/bin/env python3
"""Oracle of Greedy's learning speeds, curation and replaced gates. Writes greedy.json. Needs PyTorch.

N. Wu, S. Jastrzebski, K. Cho, K. J. Geras, "Characterizing and Overcoming the Greedy Nature of Learning in
Multi-modal Deep Neural Networks", ICML 2022, and the authors' code (greedy_multimodal_learning). Two
modalities, an MMTM fusion. After backward, before the update, in every step whose gates were not replaced:
  mu(part) = sum of the squares of all the part's gradients / sum of the squares of all its weights
  M(part)  = sum of mu(part) over these steps of the run
  CLS      = log10(M(bypass 0) / M(main 0)) - log10(M(bypass 1) / M(main 1))
bypass m: the fusion's parameters that serve modality m, those that serve both counted for both; main m:
encoder m and the head's weights of modality m. If |CLS| > epsilon, in epoch `start_epoch` (from 0) or later,
then in the next `window` steps the gates of one modality are replaced: modality 0 where CLS > 0, else 1.
These steps are not measured; the step after them is. If an M is 0, CLS is undefined and nothing is replaced
(ours).
Authors: epsilon 0.01, window 5, start_epoch 1 (their second epoch), SGD 0.1.
A gate e_m [B, C_m] is replaced by its running average, one for all samples, through which no gradient flows:
  average_m <- (n average_m + mean over the batch of e_m) / (n + 1),  n <- n + 1
in every training step, also a curated one, and before it is used. Evaluation neither replaces gates nor
counts. In the authors' code both averages are those of modality 0's gates, and evaluation counts and replaces
as well.

`gates`: one MMTM block as CVPR 2020 has it: s_m = mean of x_m over positions, j = relu(W_j [s_0, s_1] + b_j),
e_m = 2 sigmoid(W_m j + b_m), out_m = e_m x_m. `parameters` by name; successive training `steps`: `x`
[2, B, 3, P], `replaced` (-1, 0 or 1), `gates` (e_m), `averages` [2, 3] (after this step's count), `out`,
`weight` [2, B, 3, P], and the gradients of sum(weight out): `x_gradients`, `gradients` by name.
Mistakes in steps that replace: `mistake_out_before` (the average without this batch), `mistake_out_other`
(the other modality's average), `mistake_x_gradients` (gradient through the average), `mistake_gradients`.
`data`: per step `weights` and `gradients` of the parts: `main` [2] lists of tensors, `bypass` [2], `shared`.
`cases` over these steps, `steps_per_epoch` to an epoch: `replaced` [T] (what the step's forward replaced),
`measured` [T], `mu_main`, `mu_bypass` [T, 2] (of every step), `cls` [T] (of the steps measured; else as it
was, 0 at first).
Mistakes (`replaced` or the last `cls`): `mistake_replaced_other`: the other modality; `mistake_window`:
window - 1; `mistake_cls_*`: curated steps measured, too; norms not squared; mu as the sum of ratios tensor by
tensor; without shared parameters; natural logarithm.
"""

import numpy as np
import torch

import store
from checks import differs, slopes

SEED = 2022
STEPS, STEPS_PER_EPOCH = 42, 6
PARTS = {"main": ((3, 2), (4,)), "bypass": ((2,), (3, 1)), "shared": (3, 2)}


# ----- learning speeds and the schedule

def squares(tensors):
    return sum((tensor**2).sum() for tensor in tensors)


def ratio(weights, gradients):
    """mu of one part."""
    return squares(gradients) / squares(weights)


def ratio_of_norms(weights, gradients):
    return np.sqrt(ratio(weights, gradients))


def ratio_by_tensor(weights, gradients):
    return sum(ratio([w], [g]) for w, g in zip(weights, gradients))


def speeds(step, mu=ratio, shared=True):
    """mu of (main 0, main 1) and of (bypass 0, bypass 1)."""
    weights, gradients = step["weights"], step["gradients"]
    main = [mu(weights["main"][m], gradients["main"][m]) for m in range(2)]
    both = (weights["shared"], gradients["shared"]) if shared else ([], [])
    bypass = [mu(weights["bypass"][m] + both[0], gradients["bypass"][m] + both[1]) for m in range(2)]
    return np.array(main), np.array(bypass)


def difference(main, bypass, log=np.log10):
    """CLS of the sums."""
    if min(main.min(), bypass.min()) <= 0:
        return 0.0
    return log(bypass[0] / main[0]) - log(bypass[1] / main[1])


def schedule(data, epsilon, window, start_epoch, swap=False, measure_all=False, log=np.log10, **options):
    """Walks from one measured step to the next."""
    steps = len(data)
    main, bypass = np.zeros(2), np.zeros(2)
    replaced, measured, cls = [-1] * steps, [False] * steps, np.zeros(steps)
    t = 0
    while t < steps:
        measured[t] = True
        one = speeds(data[t], **options)
        main, bypass = main + one[0], bypass + one[1]
        cls[t] = difference(main, bypass, log)
        after = t + 1
        if abs(cls[t]) > epsilon and t // STEPS_PER_EPOCH >= start_epoch:
            modality = (cls[t] < 0) ^ swap
            after += window
            for u in range(t + 1, min(after, steps)):
                replaced[u] = int(modality)
                cls[u] = cls[t]
                if measure_all:
                    one = speeds(data[u], **options)
                    main, bypass = main + one[0], bypass + one[1]
                    cls[u] = difference(main, bypass, log)
        t = after
    return replaced, measured, cls


def by_flags(data, epsilon, window, start_epoch):
    """What each step's forward replaced, with a flag and a counter that backward moves on."""
    main, bypass, on, modality, count, result = 0.0, 0.0, False, -1, 0, []
    for t, step in enumerate(data):
        result.append(modality if on else -1)
        if on:
            count += 1
            on = count < window
            continue
        one = speeds(step)
        main, bypass = main + one[0], bypass + one[1]
        value = difference(main, bypass)
        if t // STEPS_PER_EPOCH >= start_epoch and abs(value) > epsilon:
            on, count, modality = True, 0, 0 if value > 0 else 1
    return result


def case(data, epsilon, window=5, start_epoch=1):
    replaced, measured, cls = schedule(data, epsilon, window, start_epoch)
    assert replaced == by_flags(data, epsilon, window, start_epoch)
    both = [speeds(step) for step in data]
    return dict(epsilon=epsilon, window=window, start_epoch=start_epoch, steps_per_epoch=STEPS_PER_EPOCH,
                replaced=replaced, measured=measured, mu_main=np.array([one[0] for one in both]),
                mu_bypass=np.array([one[1] for one in both]), cls=cls)


def mistakes(data, result):
    args = (data, result["epsilon"], result["window"], result["start_epoch"])
    wrong = {
        "mistake_replaced_other": schedule(*args, swap=True)[0],
        "mistake_window": schedule(data, args[1], args[2] - 1, args[3])[0],
        "mistake_cls_measured_all": schedule(*args, measure_all=True)[2][-1],
        "mistake_cls_norms": schedule(*args, mu=ratio_of_norms)[2][-1],
        "mistake_cls_by_tensor": schedule(*args, mu=ratio_by_tensor)[2][-1],
        "mistake_cls_unshared": schedule(*args, shared=False)[2][-1],
        "mistake_cls_natural": schedule(*args, log=np.log)[2][-1],
    }
    for name, value in wrong.items():
        if "cls" in name:
            assert differs(value, result["cls"][-1]), name
        else:
            assert value != result["replaced"], name
    return wrong


def tensors(rng, shapes, scale):
    return [scale * rng.standard_normal(size) for size in shapes]


def make_data(rng):
    """The bypass of modality 0 learns faster at first, that of modality 1 later, so much that CLS turns."""
    weights = {"main": [tensors(rng, shapes, 1.0) for shapes in PARTS["main"]],
               "bypass": [tensors(rng, shapes, 1.0) for shapes in PARTS["bypass"]],
               "shared": tensors(rng, PARTS["shared"], 1.0)}
    data = []
    for t in range(STEPS):
        scales = (2.0, 0.6) if t < 18 else (0.3, 4.0)
        gradients = {"main": [tensors(rng, shapes, 0.7) for shapes in PARTS["main"]],
                     "bypass": [tensors(rng, *one) for one in zip(PARTS["bypass"], scales)],
                     "shared": tensors(rng, PARTS["shared"], 0.4)}
        data.append(dict(weights=weights, gradients=gradients))
        weights = {name: descended(weights[name], gradients[name]) for name in weights}
    return data


def descended(weights, gradients):
    """One step of SGD on nested lists."""
    if isinstance(weights, list):
        return [descended(w, g) for w, g in zip(weights, gradients)]
    return weights - 0.05 * gradients


def dead(data):
    """The same without any gradient in the fusion."""
    return [dict(weights=step["weights"],
                 gradients=dict(main=step["gradients"]["main"],
                                bypass=[[0 * g for g in one] for one in step["gradients"]["bypass"]],
                                shared=[0 * g for g in step["gradients"]["shared"]])) for step in data]


# ----- gates

def gates_of(p, x):
    s = torch.cat([x[0].mean(2), x[1].mean(2)], dim=1)
    j = torch.relu(s @ p["squeeze.weight"].t() + p["squeeze.bias"])
    return [2 * torch.sigmoid(j @ p[f"excite.{m}.weight"].t() + p[f"excite.{m}.bias"]) for m in range(2)]


def gated(x, gates, replaced, average):
    shown = [average.expand_as(gates[m]) if m == replaced else gates[m] for m in range(2)]
    return torch.stack([x[m] * shown[m].unsqueeze(2) for m in range(2)])


def gradients_of(out, weight, p, x):
    found = torch.autograd.grad((weight * out).sum(), [x, *p.values()], retain_graph=True, allow_unused=True)
    whole = [torch.zeros_like(v) if g is None else g for g, v in zip(found, [x, *p.values()])]
    return whole[0].numpy(), {name: g.numpy() for name, g in zip(p, whole[1:])}


def block(rng, batch=4, channels=3, positions=2, units=3):
    shapes = {"squeeze.weight": (units, 2 * channels), "squeeze.bias": (units,)}
    for m in range(2):
        shapes.update({f"excite.{m}.weight": (channels, units), f"excite.{m}.bias": (channels,)})
    p = {name: torch.from_numpy(rng.standard_normal(shape)).requires_grad_()
         for name, shape in shapes.items()}
    with torch.no_grad():
        p["squeeze.bias"] += 0.5
    averages, stored = torch.zeros(2, channels, dtype=torch.double), []
    for n, replaced in enumerate([-1, -1, 0, 1, 0, -1]):
        x = torch.from_numpy(rng.standard_normal((2, batch, channels, positions)) + 0.3).requires_grad_()
        weight = torch.from_numpy(rng.standard_normal((2, batch, channels, positions)))
        gates = gates_of(p, x)
        before = averages
        attached = torch.stack([(n * before[m] + gates[m].mean(0)) / (n + 1) for m in range(2)])
        averages = attached.detach()
        out = gated(x, gates, replaced, averages[replaced])
        x_gradients, gradients = gradients_of(out, weight, p, x)
        step = dict(x=x.detach().numpy(), replaced=replaced, gates=[g.detach().numpy() for g in gates],
                    averages=averages.numpy(), out=out.detach().numpy(), weight=weight.numpy(),
                    x_gradients=x_gradients, gradients=gradients)
        check_block(p, x, weight, replaced, averages, step)
        if replaced >= 0:
            assert not gradients[f"excite.{replaced}.weight"].any(), "a replaced gate teaches nothing"
            step["mistake_out_before"] = gated(x, gates, replaced, before[replaced]).detach().numpy()
            step["mistake_out_other"] = gated(x, gates, replaced, averages[1 - replaced]).detach().numpy()
            wrong = gradients_of(gated(x, gates, replaced, attached[replaced]), weight, p, x)
            step["mistake_x_gradients"], step["mistake_gradients"] = wrong
            assert differs(step["mistake_out_before"], out.detach(), 0.01)
            assert differs(step["mistake_out_other"], out.detach(), 0.01)
            assert differs(wrong[0], x_gradients, 0.005)
        stored.append(step)
    seen = [np.mean([step["gates"][m].mean(axis=0) for step in stored], axis=0) for m in range(2)]
    np.testing.assert_allclose(averages.numpy(), seen, rtol=0, atol=1e-14, err_msg="the mean over all steps")
    return dict(parameters={name: v.detach().numpy() for name, v in p.items()}, steps=stored)


def check_block(p, x, weight, replaced, averages, step):
    """The gradients by central differences, with the averages held."""
    with torch.no_grad():
        def value():
            return (weight * gated(x, gates_of(p, x), replaced, averages[replaced])).sum().item()

        for tensor, found in ((x, step["x_gradients"]), *((p[name], step["gradients"][name]) for name in p)):
            np.testing.assert_allclose(slopes(value, tensor.detach().numpy()), found, rtol=0, atol=1e-7)


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    data = make_data(rng)
    curated = case(data, 0.01)
    assert {-1, 0, 1} == set(curated["replaced"]) and curated["replaced"][:7] == [-1] * 7
    curated.update(mistakes(data, curated))
    patient = case(data, 0.35, window=3, start_epoch=0)
    inside = [t for t in range(STEPS) if patient["measured"][t] and abs(patient["cls"][t]) <= 0.35]
    assert inside and {0, 1} <= set(patient["replaced"]), "some steps lie within epsilon"
    patient.update(mistakes(data, patient))
    never = case(data, 100.0)
    assert set(never["replaced"]) == {-1} and all(never["measured"])
    without = case(dead(data), 0.01)
    assert set(without["replaced"]) == {-1} and not without["cls"].any()
    del without["mu_main"], without["mu_bypass"]

    cases = dict(curated=curated, patient=patient, never=never, dead=without)
    store.write(__file__, dict(seed=SEED, gates=block(rng), data=data, cases=cases))
    for name, one in (("curated", curated), ("patient", patient)):
        print(name, one["replaced"], np.round(one["cls"], 3))


if __name__ == "__main__":
    main()
