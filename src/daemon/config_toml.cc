// The one file that knows toml++, and catches what it throws.
#include <toml++/toml.h>

#include "base/status.h"
#include "daemon/config.h"

namespace crisp {
namespace {

// Where something stands: "file:line".
std::string Place(const std::string& file, const toml::source_region& region) {
  return Cat(file, ":", region.begin.line);
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string_view TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::table:
      return "a table";
    default:
      return "a date or time";
  }
}

// Reads the tables of one file into objects by their keys.
class Reader {
 public:
  explicit Reader(const std::string& file) : file_(file) {}

  template <typename Object>
  absl::Status ReadTable(const toml::table& table, std::span<const Key<Object>> keys,
                         const std::string& prefix, Object& object) {
    for (const auto& [toml_key, node] : table) {
      const std::string name = Cat(prefix, std::string_view(toml_key.str()));
      if constexpr (std::is_same_v<Object, Config>) {
        if (name == "registry") {
          RETURN_IF_ERROR(ReadTables(node, name, RegistryKeys(), &RegistryConfig::host, "host",
                                     object.registries));
          continue;
        }
        if (name == "runtime") {
          RETURN_IF_ERROR(
              ReadTables(node, name, RuntimeKeys(), &RuntimeConfig::name, "name", object.runtimes));
          continue;
        }
      }
      RETURN_IF_ERROR(ReadMember(toml_key, node, name, keys, object));
    }
    return absl::OkStatus();
  }

 private:
  template <typename Object>
  absl::Status ReadMember(const toml::key& toml_key, const toml::node& node,
                          const std::string& name, std::span<const Key<Object>> keys,
                          Object& object) {
    for (const Key<Object>& key : keys) {
      if (key.name == name) return ReadValue(key, node, object);
    }
    const std::string section = name + ".";
    for (const Key<Object>& key : keys) {
      if (!key.name.starts_with(section)) continue;
      if (const toml::table* inner = node.as_table())
        return ReadTable(*inner, keys, section, object);
      return Wrong(node, name, "a table");
    }
    return Unknown(toml_key, name, keys);
  }

  template <typename Object>
  absl::Status Unknown(const toml::key& toml_key, const std::string& name,
                       std::span<const Key<Object>> keys) {
    std::string_view nearest;
    size_t best = SIZE_MAX;
    for (const Key<Object>& key : keys) {
      // Somebody who forgot the section means the key's last part.
      const std::string_view last = key.name.substr(key.name.rfind('.') + 1);
      const size_t distance =
          std::min(EditDistance(name, key.name),
                   name.find('.') == std::string::npos ? EditDistance(name, last) + 1 : SIZE_MAX);
      if (distance < best) {
        best = distance;
        nearest = key.name;
      }
    }
    return absl::InvalidArgumentError(Cat(Place(file_, toml_key.source()), ": unknown key \"", name,
                                          "\"; the nearest known key is \"", nearest, "\""));
  }

  absl::Status Wrong(const toml::node& node, std::string_view name, std::string_view wanted) {
    return absl::InvalidArgumentError(Cat(Place(file_, node.source()), ": key \"", name,
                                          "\" must be ", wanted, ", not ", TypeName(node)));
  }

  template <typename Object>
  absl::Status ReadValue(const Key<Object>& key, const toml::node& node, Object& object) {
    return std::visit([&](auto member) { return ReadInto(key, node, object.*member); }, key.field);
  }

  template <typename Object>
  absl::Status ReadInto(const Key<Object>& key, const toml::node& node, std::string& value) {
    const auto text = node.value_exact<std::string>();
    if (!text) return Wrong(node, key.name, "a string");
    value = *text;
    return absl::OkStatus();
  }

  template <typename Object>
  absl::Status ReadInto(const Key<Object>& key, const toml::node& node, bool& value) {
    const auto flag = node.value_exact<bool>();
    if (!flag) return Wrong(node, key.name, "true or false");
    value = *flag;
    return absl::OkStatus();
  }

  template <typename Object>
  absl::Status ReadInto(const Key<Object>& key, const toml::node& node, int64_t& value) {
    const auto number = node.value_exact<int64_t>();
    if (!number) return Wrong(node, key.name, "an integer");
    if (*number < key.min || *number > key.max) {
      return absl::InvalidArgumentError(Cat(Place(file_, node.source()), ": key \"", key.name,
                                            "\" must lie between ", key.min, " and ", key.max,
                                            ", and is ", *number));
    }
    value = *number;
    return absl::OkStatus();
  }

  template <typename Object>
  absl::Status ReadInto(const Key<Object>& key, const toml::node& node,
                        std::vector<std::string>& value) {
    const toml::array* list = node.as_array();
    if (list == nullptr) return Wrong(node, key.name, "a list of strings");
    std::vector<std::string> items;
    for (const toml::node& item : *list) {
      const auto text = item.value_exact<std::string>();
      if (!text) return Wrong(item, key.name, "a list of strings");
      items.push_back(*text);
    }
    value = std::move(items);
    return absl::OkStatus();
  }

  // The [[name]] tables; one replaces an earlier one with the same value of the key `identity`.
  template <typename Object>
  absl::Status ReadTables(const toml::node& node, const std::string& name,
                          std::span<const Key<Object>> keys, std::string Object::*identity,
                          std::string_view identity_name, std::vector<Object>& tables) {
    const toml::array* list = node.as_array();
    if (list == nullptr || !list->is_array_of_tables())
      return Wrong(node, name, Cat("a list of tables, each headed [[", name, "]]"));
    for (const toml::node& item : *list) {
      Object table;
      RETURN_IF_ERROR(ReadTable(*item.as_table(), keys, "", table));
      if ((table.*identity).empty()) {
        return absl::InvalidArgumentError(Cat(Place(file_, item.source()), ": a [[", name,
                                              "]] needs the key \"", identity_name, "\""));
      }
      std::erase_if(tables, [&](const Object& each) { return each.*identity == table.*identity; });
      tables.push_back(std::move(table));
    }
    return absl::OkStatus();
  }

  const std::string& file_;
};

}  // namespace

absl::Status ApplyToml(std::string_view text, const std::string& name, Config& config) {
  try {
    const toml::table table = toml::parse(text, name);
    return Reader(name).ReadTable(table, ConfigKeys(), "", config);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        Cat(Place(name, error.source()), ": ", std::string_view(error.description())));
  }
}

}  // namespace crisp
