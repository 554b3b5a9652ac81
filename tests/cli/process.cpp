#include "process.h"

#include <csignal>

#include <boost/process.hpp>
#include <fstream>
#include <sstream>

namespace fs = std::filesystem;
namespace bp = boost::process;

namespace {

/// Hashes are kept from test to test, out of the user's own cache; the user's plugins play no part.
bp::environment environment_in(const fs::path& folder) {
  bp::environment environment = boost::this_process::environment();
  environment["XDG_CACHE_HOME"] = POISE_TEST_CACHE;
  environment["XDG_DATA_HOME"] = (folder / "none").string();
  environment.erase("POISE_PLUGIN_PATH");
  return environment;
}

}  // namespace

void Scratch::write(const std::string& name, const std::string& text) const {
  fs::create_directories((path() / name).parent_path());
  std::ofstream(path() / name, std::ios::binary) << text;
}

std::string content(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

Finished poise_in(const fs::path& folder, const std::vector<std::string>& arguments,
                  const std::vector<std::string>& prefix) {
  std::vector<std::string> command = prefix;
  command.emplace_back(POISE_EXECUTABLE);
  command.insert(command.end(), arguments.begin(), arguments.end());
  const fs::path out = folder / "stdout.txt";
  const fs::path err = folder / "stderr.txt";
  Finished finished;
  finished.status = bp::system(command, environment_in(folder), bp::start_dir(folder.string()),
                               bp::std_in<bp::null, bp::std_out> out.string(), bp::std_err > err.string());
  finished.out = content(out);
  finished.err = content(err);
  fs::remove(out);
  fs::remove(err);
  return finished;
}

Finished interrupt_poise_in(const fs::path& folder, const std::vector<std::string>& arguments,
                            const std::string& text, int signal) {
  bp::ipstream err;
  bp::child process(POISE_EXECUTABLE, bp::args(arguments), environment_in(folder),
                    bp::start_dir(folder.string()), bp::std_in<bp::null, bp::std_out> bp::null,
                    bp::std_err > err);
  Finished finished;
  bool sent = false;
  for (std::string line; std::getline(err, line);) {
    finished.err += line + "\n";
    if (!sent && line.find(text) != std::string::npos) sent = ::kill(process.id(), signal) == 0;
  }
  process.wait();
  finished.status = process.exit_code();
  return finished;
}
