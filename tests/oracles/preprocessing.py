#!/usr/bin/env python3
"""Oracle of the preparation of av_digits: PCA of images, spectrogram, mixing at a given signal-to-noise
ratio. Writes preprocessing.json.

`pca` - images of which a share of the PCA energy is kept (the AV-MNIST of the literature removes 75 % and
keeps 25 %; how components are counted is left open there, and this is the definition chosen here). Mean and
covariance of the training rows; the components in order of falling variance; r is the smallest number of
leading components whose variances sum up to at least the share kept of their total; x' = mean + V_r V_r^T
(x - mean), for training and test rows alike, with nothing of the test rows in mean or V. A share of 1 keeps
all components.

`spectrogram` - log(|S| + 1e-7), S the Fourier transform of frames under a periodic Hann window, w_n = 0.5 -
0.5 cos(2 pi n / N), N = 256, hop 64; centred: N/2 zeros before and after the signal, so that frame t has
its centre at sample 64 t and there are 1 + floor(samples / hop) frames; N/2 + 1 bins. `values[i][j]` is
that of bin `bins[i]` and frame `frames[j]`. The signal is a rising chirp with a little noise, so that no
bin is near 1e-7.

`mixing` - noise scaled to a signal-to-noise ratio in dB: n' = n sqrt(P_s / (P_n 10^(SNR/10))), P = mean
square.
"""

import numpy as np

import store

SEED = 112


def pca(rng):
    n, d = 8, 5
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    mixing = turn * np.array([1.0, 0.9, 0.8, 0.7, 0.6])
    train = rng.standard_normal((n, d)) @ mixing.T + rng.standard_normal(d)
    test = rng.standard_normal((3, d)) @ mixing.T
    mean = train.sum(axis=0) / n
    centred = train - mean
    variances, vectors = np.linalg.eigh(centred.T @ centred / n)
    variances, vectors = variances[::-1], vectors[:, ::-1]
    cumulative = np.cumsum(variances) / np.cumsum(variances)[-1]

    kept = []
    for share in (0.25, 0.5, 0.75, 0.9, 1.0):
        r = next(count for count in range(1, d + 1) if cumulative[count - 1] >= share)
        projection = vectors[:, :r] @ vectors[:, :r].T
        rows = [mean + (x - mean) @ projection for x in (train, test)]
        kept.append(dict(share=share, components=r, train=rows[0], test=rows[1]))
        # A second way: the error of the training rows is the variance of what was dropped.
        error = ((rows[0] - train) ** 2).sum() / n
        assert abs(error - variances[r:].sum()) < 1e-12
    np.testing.assert_allclose(kept[-1]["test"], test, rtol=0, atol=1e-13)
    print("pca: cumulative shares", cumulative, "components", [entry["components"] for entry in kept])
    return dict(train=train, test=test, mean=mean, cumulative=cumulative, kept=kept)


def spectrogram(rng):
    rate, count, window, hop = 8000, 1000, 256, 64
    t = np.arange(count) / rate
    duration = count / rate
    chirp = 0.5 * np.sin(2 * np.pi * (200 * t + (3000 - 200) / (2 * duration) * t**2))
    signal = chirp + 0.01 * rng.standard_normal(count)
    frames = 1 + count // hop
    assert frames == 16

    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    values = np.zeros((window // 2 + 1, frames))
    for frame in range(frames):
        piece = np.zeros(window)
        for n in range(window):
            sample = frame * hop - window // 2 + n
            if 0 <= sample < count:
                piece[n] = signal[sample]
        for bin_ in range(window // 2 + 1):  # the transform by its definition
            turn = np.exp(-2j * np.pi * bin_ * np.arange(window) / window)
            values[bin_, frame] = np.log(abs((hann * piece * turn).sum()) + 1e-7)
        fast = np.log(abs(np.fft.rfft(hann * piece)) + 1e-7)
        np.testing.assert_allclose(values[:, frame], fast, rtol=0, atol=1e-10)

    bins, shown = [0, 1, 2, 5, 10, 20, 40, 64, 100, 128], [0, 1, 7, 8, 14, 15]
    peaks = values.argmax(axis=0)
    assert (np.diff(peaks[1:-1]) > 0).all(), "the chirp rises"
    print("spectrogram: smallest", values.min(), "largest", values.max(), "peaks", peaks)
    return dict(rate=rate, window=window, hop=hop, signal=signal, shape=values.shape, bins=bins, frames=shown,
                values=values[np.ix_(bins, shown)], peaks=peaks)


def mixing(rng):
    signal, noise = rng.standard_normal(12), 3 * rng.standard_normal(12) + 0.5
    cases = []
    for snr in (-5.0, 0.0, 10.0):
        power = [sum(x * x for x in values) / len(values) for values in (signal, noise)]
        scaled = noise * np.sqrt(power[0] / (power[1] * 10 ** (snr / 10)))
        assert abs(10 * np.log10((signal**2).mean() / (scaled**2).mean()) - snr) < 1e-12
        cases.append(dict(snr_db=snr, scaled=scaled, mixed=signal + scaled))
    return dict(signal=signal, noise=noise, cases=cases)


def main():
    rng = np.random.default_rng(SEED)
    store.write(__file__, dict(seed=SEED, pca=pca(rng), spectrogram=spectrogram(rng), mixing=mixing(rng)))


if __name__ == "__main__":
    main()
