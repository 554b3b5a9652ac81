#include "plugins/child_process.h"

#include <sys/wait.h>
#include <csignal>

#include <algorithm>
#include <functional>
#include <optional>
#include <system_error>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/process.hpp>

namespace poise {

namespace bp = boost::process;

ChildEnd run_child(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                   const std::filesystem::path& out, const std::filesystem::path& err,
                   std::chrono::seconds limit) {
  using Cause = ChildEnd::Cause;
  boost::asio::io_context context;
  boost::asio::steady_timer timer(context, limit);
  boost::asio::signal_set interrupts(context, SIGINT, SIGTERM);
  bool has_ended = false;
  std::optional<Cause> killed_for;
  bp::child process(program.string(), bp::args(arguments), bp::std_in<bp::null, bp::std_out> out.string(),
                    bp::std_err > err.string(), context,
                    bp::on_exit([&](int /*status*/, const std::error_code& /*error*/) {
                      has_ended = true;
                      timer.cancel();
                      interrupts.cancel();
                    }));
  // Not process.terminate(), which takes the end away from on_exit.
  const auto kill_for = [&](Cause cause) {
    if (has_ended) return;
    killed_for = cause;
    ::kill(process.id(), SIGKILL);
  };
  timer.async_wait([&](const boost::system::error_code& cancelled) {
    if (!cancelled) kill_for(Cause::timed_out);
  });
  interrupts.async_wait([&](const boost::system::error_code& cancelled, int /*signal*/) {
    if (!cancelled) kill_for(Cause::interrupted);
  });
  context.run();
  if (killed_for) return {*killed_for, 0};
  const int status = process.native_exit_code();
  if (WIFSIGNALED(status)) return {Cause::signalled, WTERMSIG(status)};
  return {Cause::exited, WEXITSTATUS(status)};
}

}  // namespace poise
