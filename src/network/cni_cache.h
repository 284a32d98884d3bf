// CniCache: the results of ADD as files <dir>/results/<network>-<container>-<interface>, in the
// reference library's form (kind cniCacheV1), which DEL and CHECK need and other tools on a node
// read. The folder may be shared with other runtimes. Any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

struct CniAttachment {
  std::string container_id;
  std::string network;
  std::string interface_name;
  std::string netns;
  std::string config_text;  // the configuration list
  std::vector<std::pair<std::string, std::string>> args;
  Json capability_args = Json::object();
  Json result;
};

class CniCache {
 public:
  explicit CniCache(std::string folder) : folder_(std::move(folder)) {}

  absl::Status Write(const CniAttachment& attachment) const;
  // Nothing if there is none; InvalidArgument if the file is damaged.
  absl::StatusOr<std::optional<CniAttachment>> Read(const std::string& network,
                                                    const std::string& container_id,
                                                    const std::string& interface_name) const;
  absl::Status Remove(const std::string& network, const std::string& container_id,
                      const std::string& interface_name) const;
  // Whose attachments to this network there are; damaged files are left out. Results are not
  // checked.
  std::vector<CniAttachment> List(const std::string& network) const;

 private:
  std::string Path(const std::string& network, const std::string& container_id,
                   const std::string& interface_name) const;

  const std::string folder_;
};

}  // namespace crisp
