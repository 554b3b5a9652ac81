#include "training/plugin_call.h"

#include <c10/util/Exception.h>

#include "poise/error.h"

namespace poise {

void rethrow_from(const PluginName& plugin) {
  const std::string who = plugin.name + " " + plugin.version + " (" + plugin.file.string() + "): ";
  try {
    throw;
  } catch (const Error& error) {
    // A message that begins with a position in the user's file is complete.
    if (error.fault() == Fault::usage) throw;
    throw Error(who + error.what(), error.fault());
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    throw Error(who + text.substr(0, text.find('\n')));
  } catch (const std::exception& error) {
    throw Error(who + error.what());
  } catch (...) {
    throw Error(who + "threw something that is no exception of C++'s library.");
  }
}

}  // namespace poise
