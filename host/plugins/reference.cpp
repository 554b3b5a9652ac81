#include "plugins/reference.h"

#include <sstream>
#include <system_error>

#include <fmt/format.h>

#include "poise/error.h"
#include "poise/files.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

/// Text of a plugin inside a cell of a table.
std::string cell(const std::string& text) {
  std::string result;
  for (const char c : escaped(text)) {
    if (c == '|') result += '\\';
    result += c;
  }
  return result;
}

std::string code(const std::string& text) { return text.empty() ? "" : "`" + cell(text) + "`"; }

std::string options_text(const Details& details) {
  if (details.options.empty()) return "## Options\nIt has none.\n";
  std::string text =
      "## Options\n| option | type | default | range | meaning |\n| --- | --- | --- | --- | --- |\n";
  for (const auto& option : details.options) {
    text += fmt::format("| {} | {} | {} | {} | {} |\n", code(option.key), option.type,
                        option.is_required ? "required" : code(option.default_value), cell(option.range),
                        cell(option.meaning));
  }
  return text;
}

/// "2", "2 or more", "2 to 4"; the host's own limit is none of the method's.
std::string range_of_modalities(const Requirements& needs) {
  if (needs.max_modalities >= max_modalities) return fmt::format("{} or more", needs.min_modalities);
  if (needs.max_modalities == needs.min_modalities) return fmt::to_string(needs.min_modalities);
  return fmt::format("{} to {}", needs.min_modalities, needs.max_modalities);
}

std::string needs_text(const Requirements& needs) {
  std::string text = fmt::format("## Needs\n- Modalities: {}.\n", range_of_modalities(needs));
  if (needs.additive_fusion) text += "- An additive fusion.\n";
  if (needs.late_fusion) text += "- A fusion that does not act inside the encoders.\n";
  if (needs.gate_switch) text += "- A fusion whose gates can be replaced (`poise/gate_switch.h`).\n";
  if (needs.replaces_fusion) {
    text +=
        "- Predicts by modules of its own: the pipeline's fusion is neither used nor trained, and must not "
        "act inside the encoders.\n";
  }
  if (needs.classification) text += "- Targets that are classes.\n";
  if (needs.teachers) text += "- Each modality trained alone first, which the host does.\n";
  text += needs.symmetric ? "- Treats modalities alike: swapping two swaps what it does.\n"
                          : "- Is ordered or random in its modalities: swapping two may change the result.\n";
  return text;
}

std::string cost_text(const Details& details) {
  std::string text =
      "## Cost\nOf a training step with the default options, at most:\n\n"
      "| modalities | subsets of modalities shown to the model | backward passes |\n| --- | --- | --- |\n";
  for (const auto& [k, needs] : details.requirements) {
    const bool is_taken = k >= needs.min_modalities && k <= needs.max_modalities;
    text += is_taken
                ? fmt::format("| {} | {} | {} |\n", k, needs.subsets_per_step, needs.backward_passes_per_step)
                : fmt::format("| {} | refused | |\n", k);
  }
  if (details.requirements.front().second.extra_passes) {
    text += "\nIt visits data outside the training steps, too; a result tells how often.\n";
  }
  return text;
}

std::string neutral_text(const std::optional<std::string>& options) {
  if (!options) return "It declares no options that make it joint training.\n";
  if (options->empty()) return "Its gradients are joint training's, bit for bit.\n";
  std::istringstream lines(*options);
  std::string listed;
  for (std::string line; std::getline(lines, line);) listed += (listed.empty() ? "" : ", ") + code(line);
  return "With " + listed + " its gradients are joint training's, bit for bit.\n";
}

/// From a page in `folder` to the plugin's README.md, or to its folder where it has none.
std::string source_text(const Manifest& manifest, const fs::path& folder) {
  std::error_code ignored;
  const fs::path readme = manifest.folder / "README.md";
  const bool is_there = fs::exists(readme, ignored);
  const fs::path target = fs::weakly_canonical(is_there ? readme : manifest.folder)
                              .lexically_relative(fs::weakly_canonical(folder));
  return fmt::format("Formula, source and deviations: [{}](<{}>).\n", is_there ? "its README" : "its folder",
                     target.string());
}

std::string page(const Details& details, const fs::path& folder) {
  const Manifest& manifest = details.entry.manifest;
  std::string text = fmt::format(
      "# {}\n{}.\n\nKind: {}. Version: {}. Licence: {}. Interface: `{}`. Origin: {}.\n\n{}", manifest.name,
      escaped(manifest.summary), manifest.kind, escaped(manifest.version), escaped(manifest.license),
      escaped(manifest.interface), details.entry.origin, source_text(manifest, folder));
  text += "\n" + options_text(details);
  if (!details.abilities.empty()) text += "\n## Abilities\n";
  for (const auto& ability : details.abilities) text += "- " + ability + "\n";
  if (details.requirements.empty()) return text;
  text += "\n" + needs_text(details.requirements.front().second);
  return text + "\n" + cost_text(details) + "\n" + neutral_text(details.neutral_options);
}

std::string index(const std::vector<Details>& plugins) {
  std::string text =
      "# Plugins\nMade by `poise plugins docs` from the plugins themselves.\n\n"
      "| plugin | kind | summary |\n| --- | --- | --- |\n";
  std::string others;
  for (const auto& details : plugins) {
    const Manifest& manifest = details.entry.manifest;
    if (details.entry.state == PluginState::ok) {
      text += fmt::format("| [{0}]({1}/{0}.md) | {1} | {2} |\n", manifest.name, manifest.kind,
                          cell(manifest.summary));
      continue;
    }
    for (const auto& reason : details.entry.reasons) {
      others += fmt::format("- `{}` ({}): {}\n", escaped(manifest.name), escaped(manifest.folder.string()),
                            escaped(reason));
    }
  }
  return others.empty() ? text : text + "\n## Cannot be used here\n" + others;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error("the folder " + folder.string() + " cannot be made: " + error.message() + ".");
}

}  // namespace

void write_reference(const std::vector<Details>& plugins, const fs::path& folder) {
  make_folder(folder);
  for (const auto& details : plugins) {
    if (details.entry.state != PluginState::ok) continue;
    const fs::path kind = folder / details.entry.manifest.kind;
    make_folder(kind);
    write_file(kind / (details.entry.manifest.name + ".md"), page(details, kind));
  }
  write_file(folder / "index.md", index(plugins));
}

}  // namespace poise
