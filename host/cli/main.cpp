// poise: reads the command line, runs the verb, and turns what went wrong into a sentence and an exit status.
#include <exception>
#include <iostream>
#include <string>

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/verbs.h"
#include "plugins/compatibility.h"
#include "poise/error.h"

namespace {

/// "poise 0.1.0", then what this build is made of, a field a line.
std::string version() {
  std::string text = "poise " POISE_VERSION;
  for (const auto& [field, value] : poise::host_identity()) {
    text += fmt::format("\n{:<18}{}", field, value);
  }
  return text;
}

int status_of(poise::Fault fault) {
  switch (fault) {
    case poise::Fault::run: return 1;
    case poise::Fault::usage: return 2;
    case poise::Fault::plugin: return 3;
  }
  return 1;
}

int fail(const std::string& sentence, int status) {
  std::cout.flush();
  std::cerr << "poise: " << sentence << '\n';
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains multi-modal models whose modalities compete, and keeps them in balance.", "poise");
  app.set_version_flag("--version", version, "Versions of host, SDK and LibTorch, and the ABI");
  int status = 0;
  poise::add_run(app, status);
  poise::add_check(app, status);
  poise::add_report(app, status);
  poise::add_new(app, status);
  poise::add_plugins(app, status);

  try {
    app.parse(argc, argv);
    // Not CLI11's own require_subcommand(), which hides the name of a verb that does not exist.
    if (app.get_subcommands().empty())
      return fail("a verb is missing. Run with --help for more information.", 2);
    return status;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help and --version
    return fail(error.what() + std::string("\nRun with --help for more information."),
                status_of(poise::Fault::usage));
  } catch (const poise::Error& error) {
    return fail(error.what(), status_of(error.fault()));
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    return fail(text.substr(0, text.find('\n')), 1);
  } catch (const std::exception& error) {
    return fail(error.what(), 1);
  }
}
