// crisp pull: fetches an image from its registry.
#include <CLI/CLI.hpp>
#include <iostream>

#include "base/status.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/transfer.h"

namespace crisp {
namespace {

struct PullOptions {
  std::string image;
  std::string username;
  bool password_stdin = false;
  bool quiet = false;
};

absl::Status Pull(Session& session, const PullOptions& options) {
  operate::v1::PullImageRequest request;
  request.set_image(options.image);
  request.set_username(options.username);
  if (options.password_stdin) {
    // Not on the command line, where every user of the machine could read it.
    std::string password;
    std::getline(std::cin, password);
    request.set_password(password);
  }
  ASSIGN_OR_RETURN(const ArrivedImage image,
                   PullShowingProgress(session, request, options.quiet || session.json()));
  if (session.json()) {
    PrintJson({{"id", image.id}, {"image", options.image}});
  } else {
    Print(image.id + "\n");
  }
  return absl::OkStatus();
}

}  // namespace

void AddPull(CLI::App& app, Session& session) {
  auto options = std::make_shared<PullOptions>();
  CLI::App* command = AddCommand(app, session, "pull", "Fetch an image from its registry");
  command->add_option("image", options->image, "such as busybox, or registry.k8s.io/pause:3.10")
      ->required();
  CLI::Option* username =
      command->add_option("-u,--username", options->username, "for the registry");
  command
      ->add_flag("--password-stdin", options->password_stdin,
                 "read the password from the first line of standard input")
      ->needs(username);
  command->add_flag("-q,--quiet", options->quiet, "no progress");
  command->callback([&session, options] { session.Finish(Pull(session, *options)); });
}

}  // namespace crisp
