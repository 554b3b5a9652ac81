#!/usr/bin/env python3
"""Oracle of the report's statistics over seeds. Writes paired_tests.json. Needs NumPy.

Student, "The probable error of a mean", Biometrika 6, 1908; S. Holm, "A simple sequentially rejective multiple test
procedure", Scandinavian Journal of Statistics 6, 1979. With x_i the differences of two methods at seed i, n of them,
m their mean, s their deviation (divisor n - 1) and T Student's variable with n - 1 degrees of freedom:
  interval    m +- t(0.975) s / sqrt(n)
  p           P(|T| >= |m| sqrt(n) / s)                                 two-sided, paired
  adjusted    of p_1 <= ... <= p_q:  max over i <= j of min(1, (q - i + 1) p_i)
  detectable  (t(0.975) + t(0.8)) s / sqrt(n): the mean that one such test at the 5 % level finds with a power of
              about 80 %
The distribution function is an integral of the density: with t = sqrt(d) tan(a), d degrees of freedom, the density is
in proportion to cos(a)^(d - 1). It is checked against its closed forms (d = 1, 2, 4), and quantiles against tables.

`quantiles`: rows [d, probability, t]. `pairs`: `a`, `b` [n], `mean`, `deviation`, `half_width`, `p`, `detectable`;
  `exact_detectable`: the mean found with a power of exactly 80 %, from the noncentral t distribution; below p = 0.1
  `mistake_normal_*` with the normal distribution, `mistake_unpaired_p` (two samples, pooled), `mistake_one_sided_p`,
  `mistake_population_*` with the divisor n. `holm`: lists of `p` and `adjusted`; `mistake_bonferroni`;
  `mistake_no_maximum`: without the maximum over the smaller ones.
"""

import math

import numpy as np

import store
from checks import differs

SEED = 1908
NODES, WEIGHTS = np.polynomial.legendre.leggauss(150)


def integral(f, low, high):
    """Of a smooth function, by Gauss and Legendre."""
    middle, half = (low + high) / 2, (high - low) / 2
    return half * np.sum(WEIGHTS * f(middle + half * NODES))


def below(t, d):
    """P(T <= t) of Student's distribution with d degrees of freedom."""
    density = lambda a: np.cos(a) ** (d - 1)
    whole = integral(density, -math.pi / 2, math.pi / 2)
    return integral(density, -math.pi / 2, math.atan(t / math.sqrt(d))) / whole


def both_tails(t, d):
    """P(|T| >= |t|), from the tail itself, so that small values keep their digits."""
    density = lambda a: np.sin(a) ** (d - 1)  # the angle is counted from the tail
    whole = integral(density, 0, math.pi)
    return 2 * integral(density, 0, math.atan2(math.sqrt(d), abs(t))) / whole


def root(f, low, high):
    """By bisection; f(low) < 0 < f(high)."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) < 0 else (low, middle)
    return (low + high) / 2


def quantile(probability, d):
    return root(lambda t: below(t, d) - probability, -1e3, 1e3)


def normal_tails(z):
    return math.erfc(abs(z) / math.sqrt(2))


def power(noncentrality, d, critical):
    """P(|T'| > critical), T' = (Z + noncentrality) / (chi / sqrt(d)), over the distribution of chi."""
    log_constant = (1 - d / 2) * math.log(2) - math.lgamma(d / 2)

    def integrand(chi):
        density = np.exp(log_constant + (d - 1) * np.log(chi) - chi**2 / 2)
        edge = critical * chi / math.sqrt(d)
        tails = [math.erfc((e - noncentrality) / math.sqrt(2)) + math.erfc((e + noncentrality) / math.sqrt(2))
                 for e in edge]
        return density * np.array(tails) / 2

    return integral(integrand, 0, math.sqrt(d) + 12)


def detectable_noncentrality(d):
    critical = quantile(0.975, d)
    return root(lambda c: power(c, d, critical) - 0.8, 0, 100)


def spread(x):
    n = len(x)
    mean = math.fsum(x) / n
    squares = math.fsum((v - mean) ** 2 for v in x)
    return mean, math.sqrt(squares / (n - 1)), math.sqrt(squares / n)


def pair(a, b):
    n, d = len(a), len(a) - 1
    mean, s, population = spread([u - v for u, v in zip(a, b)])
    error = s / math.sqrt(n)
    high, power_t = quantile(0.975, d), quantile(0.8, d)
    pooled = math.sqrt((spread(a)[1] ** 2 + spread(b)[1] ** 2) / n)
    values = dict(
        a=a, b=b, mean=mean, deviation=s, half_width=high * error, p=both_tails(mean / error, d),
        detectable=(high + power_t) * error, exact_detectable=detectable_noncentrality(d) * error)
    if values["p"] > 0.1:
        return values  # mistakes do not matter where there is nothing to find
    values.update(
        mistake_normal_half_width=1.959963984540054 * error, mistake_normal_p=normal_tails(mean / error),
        mistake_normal_detectable=(1.959963984540054 + 0.8416212335729143) * error,
        mistake_unpaired_p=both_tails(mean / pooled, 2 * d), mistake_one_sided_p=both_tails(mean / error, d) / 2,
        mistake_population_half_width=high * population / math.sqrt(n),
        mistake_population_p=both_tails(mean / (population / math.sqrt(n)), d))
    for right in ("half_width", "p", "detectable"):
        for key in values:
            if key.startswith("mistake_") and key.endswith("_" + right):
                assert differs(values[key], values[right], 0.02), key
    return values


def holm(p):
    """Straight from the definition."""
    ranked = sorted(p)
    q = len(p)

    def adjusted(value):
        j = max(i for i, other in enumerate(ranked) if other == value)
        return max(min(1.0, (q - i) * ranked[i]) for i in range(j + 1))

    return [adjusted(value) for value in p]


def rejected(p, level):
    """Holm's own procedure: from the smallest on, until one is not below its part of the level."""
    result = set()
    for step, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[i] > level / (len(p) - step):
            break
        result.add(i)
    return result


def holm_case(p):
    adjusted = holm(p)
    for level in (0.01, 0.03, 0.05, 0.2):
        assert rejected(p, level) == {i for i, value in enumerate(adjusted) if value <= level + 1e-15}
    ranked = sorted(p)
    values = dict(p=p, adjusted=adjusted, mistake_bonferroni=[min(1.0, len(p) * value) for value in p],
                  mistake_no_maximum=[min(1.0, (len(p) - ranked.index(value)) * value) for value in p])
    return values


def check_distribution():
    for t in (-3.0, -0.4, 0.0, 0.7, 2.5, 40.0):
        two = 0.5 + t / (2 * math.sqrt(2 + t * t))
        angle = math.atan(t / 2)
        four = 0.5 + (math.sin(angle) * (1 + math.cos(angle) ** 2 / 2)) / 2
        for d, closed in ((1, 0.5 + math.atan(t) / math.pi), (2, two), (4, four)):
            assert abs(below(t, d) - closed) < 1e-13, (t, d)
            assert abs(both_tails(t, d) - 2 * min(closed, 1 - closed)) < 1e-13, (t, d)
    for d, probability, table in ((1, 0.975, 12.706), (2, 0.975, 4.303), (9, 0.975, 2.262), (9, 0.8, 0.883),
                                  (30, 0.975, 2.042)):
        assert abs(quantile(probability, d) - table) < 6e-4, (d, probability)
    # Cohen's tables: with 10 pairs a standardised mean of 1.0 is found with 80 %.
    assert abs(detectable_noncentrality(9) / math.sqrt(10) - 1.0) < 0.01


def main():
    check_distribution()
    rng = np.random.default_rng(SEED)
    shared = 0.85 + 0.02 * rng.standard_normal(10)  # what two methods have in common at a seed
    joint = np.round(shared, 4)
    better = np.round(shared + 0.012 + 0.006 * rng.standard_normal(10), 4)
    same = np.round(shared + 0.003 + 0.008 * rng.standard_normal(10), 4)
    pairs = dict(better=pair(list(better), list(joint)), same=pair(list(same), list(joint)),
                 three=pair([0.93, 0.97, 0.935], [0.90, 0.91, 0.925]),
                 two=pair([0.93, 0.97], [0.90, 0.90]))
    assert pairs["better"]["p"] < 0.01 and pairs["same"]["p"] > 0.1
    cases = [holm_case(p) for p in ([0.04], [0.01, 0.04, 0.03, 0.005], [0.02, 0.021, 0.9, 0.0301, 0.02],
                                    [0.6, 0.5, 0.7])]
    assert differs(cases[1]["mistake_bonferroni"], cases[1]["adjusted"])
    assert differs(cases[1]["mistake_no_maximum"], cases[1]["adjusted"])
    quantiles = [[d, p, quantile(p, d)] for d in (1, 2, 4, 9, 30) for p in (0.8, 0.975)]
    store.write(__file__, dict(seed=SEED, quantiles=quantiles, pairs=pairs, holm=cases))
    for name, values in pairs.items():
        print(name, {key: round(values[key], 6) for key in values if key not in ("a", "b")})
    for case in cases:
        print(case["p"], case["adjusted"], case["mistake_no_maximum"])


if __name__ == "__main__":
    main()
