#include "process.h"

#include <boost/process.hpp>
#include <fstream>
#include <sstream>

namespace fs = std::filesystem;
namespace bp = boost::process;

namespace {

std::string content(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace

Scratch::Scratch(const std::string& name) : path_(fs::temp_directory_path() / ("poise_" + name)) {
  fs::remove_all(path_);
  fs::create_directories(path_);
}

Scratch::~Scratch() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void Scratch::write(const std::string& name, const std::string& text) const {
  fs::create_directories((path_ / name).parent_path());
  std::ofstream(path_ / name, std::ios::binary) << text;
}

Finished poise_in(const fs::path& folder, const std::vector<std::string>& arguments,
                  const std::vector<std::string>& prefix) {
  std::vector<std::string> command = prefix;
  command.emplace_back(POISE_EXECUTABLE);
  command.insert(command.end(), arguments.begin(), arguments.end());
  // Hashes are kept from test to test, out of the user's own cache; the user's plugins play no part.
  bp::environment environment = boost::this_process::environment();
  environment["XDG_CACHE_HOME"] = POISE_TEST_CACHE;
  environment["XDG_DATA_HOME"] = (folder / "none").string();
  environment.erase("POISE_PLUGIN_PATH");
  const fs::path out = folder / "stdout.txt";
  const fs::path err = folder / "stderr.txt";
  Finished finished;
  finished.status = bp::system(command, environment, bp::start_dir(folder.string()),
                               bp::std_in<bp::null, bp::std_out> out.string(), bp::std_err > err.string());
  finished.out = content(out);
  finished.err = content(err);
  fs::remove(out);
  fs::remove(err);
  return finished;
}
