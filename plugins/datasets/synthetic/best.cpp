// The best scores in closed form. A modality shows a latent s in its own direction d as y = a s + n with
// n ~ N(0, 1); nothing else of the input depends on s. Of several modalities, sum_m a_m y_m ~ N(rho s, rho)
// is sufficient, with rho = sum_m a_m^2 over those that are seen and show s.
//
// Bits (s = 1 or -1, equally likely):
//   P(bit right) = Phi(sqrt(rho)) for the guess sign(sum_m a_m y_m); rho = 0 gives 1/2
//   combined: the posterior mean of prod_m s_m is prod_m tanh(a_m y_m), so the best guess is the product of
//   the separate guesses, and E[prod_m s_m guess_m] = prod_m (2 Phi(a_m) - 1), a_m = 0 where m is not seen:
//   P(bit right) = (1 + prod_m (2 Phi(a_m) - 1)) / 2
//   classification: given the inputs the bits are independent, so the likeliest class is that of the
//   likeliest bits, P = prod P(bit right); with wrong classes (1 - e) P + e (1 - P) / (C - 1). The likeliest
//   class stays the best guess as long as 1 - e >= e / (C - 1), thus for every C when e <= 1/2.
//   multi-label: mean over labels of (1 - e) P + e (1 - P)
//
// Numbers (s ~ N(0, 1)):
//   E[s | y] = sum_m a_m y_m / (1 + rho) has the variance R2 = rho / (1 + rho)
//   combined: the factors are independent, also given the inputs, so R2 = prod_m a_m^2 / (1 + a_m^2)
//   a share e of a target's variance is noise that no input tells of: (1 - e) R2, mean over targets
#include "best.h"

#include <cmath>
#include <numeric>

namespace synthetic {
namespace {

/// P(bit right), or R2, of one latent.
double seen(const Parameters& p, double rho) {
  if (p.task == poise::TaskKind::regression) return rho / (1 + rho);
  return 0.5 * std::erfc(-std::sqrt(rho / 2));  // Phi(x) = erfc(-x / sqrt(2)) / 2
}

double combination(const Parameters& p, const std::vector<double>& rho) {
  const bool is_number = p.task == poise::TaskKind::regression;
  double product = 1;
  for (const double own : rho) product *= is_number ? seen(p, own) : 2 * seen(p, own) - 1;
  return is_number ? product : (1 + product) / 2;
}

}  // namespace

double best_score(const Parameters& p, poise::Subset modalities) {
  std::vector<double> rho;  // of each modality
  for (int m = 0; m < p.modalities; ++m) {
    const double a = p.amplitude[static_cast<std::size_t>(m)];
    rho.push_back(modalities.has(m) ? a * a : 0);
  }
  std::vector<double> outputs;
  for (std::size_t m = 0; m < rho.size(); ++m) {
    outputs.insert(outputs.end(), static_cast<std::size_t>(p.unique[m]), seen(p, rho[m]));
  }
  const double all = std::accumulate(rho.begin(), rho.end(), 0.0);
  outputs.insert(outputs.end(), static_cast<std::size_t>(p.redundant), seen(p, all));
  outputs.insert(outputs.end(), static_cast<std::size_t>(p.combined), combination(p, rho));

  const double e = p.label_noise;
  const double mean =
      std::accumulate(outputs.begin(), outputs.end(), 0.0) / static_cast<double>(outputs.size());
  if (p.task == poise::TaskKind::regression) return (1 - e) * mean;
  if (p.task == poise::TaskKind::multi_label) return (1 - e) * mean + e * (1 - mean);
  double right = 1;
  for (const double bit : outputs) right *= bit;
  return (1 - e) * right + e * (1 - right) / static_cast<double>(p.classes() - 1);
}

}  // namespace synthetic
