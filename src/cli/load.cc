// crisp load: imports images from a folder or an archive on this node.
#include <CLI/CLI.hpp>
#include <filesystem>

#include "base/status.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/transfer.h"

namespace crisp {
namespace {

struct LoadOptions {
  std::string path;
  std::string name;
  bool quiet = false;
};

absl::Status Load(Session& session, const LoadOptions& options) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::canonical(options.path, error);
  if (error) return absl::NotFoundError(Cat("cannot read ", options.path, ": ", error.message()));
  operate::v1::LoadImageRequest request;
  request.set_path(path);
  request.set_name(options.name);
  ASSIGN_OR_RETURN(const std::vector<ArrivedImage> images,
                   LoadShowingProgress(session, request, options.quiet || session.json()));
  Json list = Json::array();
  for (const ArrivedImage& image : images) {
    list.push_back({{"id", image.id}, {"names", image.names}});
    if (session.json()) continue;
    std::string line = image.id;
    for (const std::string& name : image.names) line += Cat("  ", Printable(name));
    Print(line + "\n");
  }
  if (session.json()) PrintJson(list);
  return absl::OkStatus();
}

}  // namespace

void AddLoad(CLI::App& app, Session& session) {
  auto options = std::make_shared<LoadOptions>();
  CLI::App* command =
      AddCommand(app, session, "load",
                 "Import images from an OCI image layout (folder or tar) or a docker save archive");
  command->add_option("path", options->path, "folder or archive, on the daemon's node")->required();
  command->add_option("-n,--name", options->name, "name for an image that has none there");
  command->add_flag("-q,--quiet", options->quiet, "no progress");
  command->callback([&session, options] { session.Finish(Load(session, *options)); });
}

}  // namespace crisp
