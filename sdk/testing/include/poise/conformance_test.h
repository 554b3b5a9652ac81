#pragma once

#include <iostream>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "poise/conformance.h"
#include "poise/testing.h"

/// The conformance suite as GoogleTest: in a plugin's NAME_test.cpp one line,
///
///   POISE_CONFORMANCE("");
///
/// with TOML lines for the options that have no default, or that make it quick. Each check is a test of its own name in
/// the suite Conformance.
namespace poise::testing {

class ConformanceTest : public ::testing::Test {
 public:
  ConformanceTest(const Check& check, std::string options) : check_(check), options_(std::move(options)) {}

  void TestBody() override {
    Subject subject;
    subject.plugin = &poise_plugin;
    subject.options = options_;
    const Finding finding = run(check_, subject);
    switch (finding.outcome) {
      case Outcome::passed: break;
      case Outcome::skipped: GTEST_SKIP() << finding.sentence;
      case Outcome::warning: std::cout << "warning: " << finding.sentence << '\n'; break;
      case Outcome::failed: FAIL() << check_.purpose << ' ' << finding.sentence;
    }
  }

 private:
  const Check& check_;
  std::string options_;
};

inline bool register_conformance(const char* file, int line, const std::string& options) {
  for (const Check& check : checks_of(poise_plugin.kind)) {
    ::testing::RegisterTest(
        "Conformance", check.name.c_str(), nullptr, nullptr, file, line,
        [&check, options]() -> ConformanceTest* { return new ConformanceTest(check, options); });
  }
  return true;
}

}  // namespace poise::testing

#define POISE_CONFORMANCE(options)                               \
  [[maybe_unused]] static const bool poise_conformance_is_here = \
      ::poise::testing::register_conformance(__FILE__, __LINE__, options)
