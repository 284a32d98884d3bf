// crisp images: lists what images are here.
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "cli/output.h"
#include "cli/session.h"

namespace crisp {
namespace {

struct ImagesOptions {
  std::string name;
  bool quiet = false;
  bool no_trunc = false;
};

absl::Status Images(Session& session, const ImagesOptions& options) {
  cri::ListImagesRequest request;
  if (!options.name.empty()) request.mutable_filter()->mutable_image()->set_image(options.name);
  ASSIGN_OR_RETURN(const auto answer, session.client().Call(request));
  Json list = Json::array();
  Table table({"IMAGE", "ID", "SIZE", "PINNED"});
  for (const auto& image : answer.images()) {
    if (options.quiet) {
      Print(image.id() + "\n");
      continue;
    }
    list.push_back({{"id", image.id()},
                    {"tags", image.repo_tags()},
                    {"digests", image.repo_digests()},
                    {"size", image.size()},
                    {"pinned", image.pinned()}});
    const std::string id = options.no_trunc ? image.id() : ShortId(image.id());
    const auto& names = image.repo_tags_size() > 0 ? image.repo_tags() : image.repo_digests();
    const char* const pinned = image.pinned() ? "yes" : "";
    if (names.empty()) table.Add({"<no name>", id, SizeText(image.size()), pinned});
    for (const std::string& name : names) table.Add({name, id, SizeText(image.size()), pinned});
  }
  if (!options.quiet) PrintList(session.json(), list, table);
  return absl::OkStatus();
}

}  // namespace

void AddImages(CLI::App& app, Session& session) {
  auto options = std::make_shared<ImagesOptions>();
  CLI::App* command = AddCommand(app, session, "images", "List images");
  command->add_option("name", options->name, "only the image with this name or id");
  command->add_flag("-q,--quiet", options->quiet, "ids alone");
  command->add_flag("--no-trunc", options->no_trunc, "whole ids");
  command->callback([&session, options] { session.Finish(Images(session, *options)); });
}

}  // namespace crisp
