#include "daemon/flags.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "base/file.h"
#include "base/text.h"

namespace crisp {

std::optional<int> ParseFlags(int argc, char** argv, DaemonFlags& flags) {
  CLI::App app("crispd: runs the pods of a Kubernetes node, spoken to by the CRI.", "crispd");
  app.set_version_flag("--version", "crispd " CRISP_VERSION);
  app.add_option("--config", flags.config_file,
                 Cat("configuration file; files in FILE.d are read after it [", kUsualConfigFile,
                     ", if there]"))
      ->type_name("FILE");
  app.add_option("--root", flags.values["root"], "folder for images, containers and the database")
      ->type_name("DIR");
  app.add_option("--state", flags.values["state"], "folder for what lasts as long as a boot")
      ->type_name("DIR");
  app.add_option("--listen", flags.values["listen"], "socket to serve")->type_name("unix:///PATH");
  app.add_option("--log-level", flags.values["log_level"], "trace, debug, info, warn, error or off")
      ->type_name("LEVEL");
  bool print_default = false;
  app.add_flag("--default-config", print_default, "print the annotated default configuration");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  if (print_default) {
    std::cout << AnnotatedConfig();
    return 0;
  }
  std::erase_if(flags.values, [](const auto& each) { return each.second.empty(); });
  if (flags.config_file.empty() && PathExists(kUsualConfigFile))
    flags.config_file = kUsualConfigFile;
  return std::nullopt;
}

}  // namespace crisp
