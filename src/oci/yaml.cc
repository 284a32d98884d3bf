#include "oci/yaml.h"

#include <yaml.h>

#include <charconv>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr int kMaxYamlDepth = 64;
constexpr size_t kMaxNodes = 100000;

Json Scalar(const yaml_node_t& node) {
  const std::string_view text(reinterpret_cast<const char*>(node.data.scalar.value),
                              node.data.scalar.length);
  if (node.data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return std::string(text);
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") {
    return nullptr;
  }
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const bool hex = text.starts_with("0x");
  const bool octal = text.starts_with("0o");
  const char* begin = text.data() + (hex || octal ? 2 : 0);
  const char* end = text.data() + text.size();
  int64_t number = 0;
  const auto [stop, error] = std::from_chars(begin, end, number, hex ? 16 : octal ? 8 : 10);
  if (error == std::errc() && stop == end && begin != end) return number;
  return std::string(text);
}

class Converter {
 public:
  explicit Converter(yaml_document_t& document) : document_(document) {}

  absl::StatusOr<Json> Convert(int index, int depth) {
    if (depth > kMaxYamlDepth) return absl::InvalidArgumentError("it nests too deep");
    if (++nodes_ > kMaxNodes) return absl::InvalidArgumentError("it has too many values");
    const yaml_node_t* node = yaml_document_get_node(&document_, index);
    if (node == nullptr) return absl::InvalidArgumentError("it is empty");
    if (node->type == YAML_SCALAR_NODE) return Scalar(*node);
    return node->type == YAML_SEQUENCE_NODE ? List(*node, depth) : Map(*node, depth);
  }

 private:
  absl::StatusOr<Json> List(const yaml_node_t& node, int depth) {
    Json list = Json::array();
    for (const yaml_node_item_t* item = node.data.sequence.items.start;
         item < node.data.sequence.items.top; ++item) {
      ASSIGN_OR_RETURN(Json value, Convert(*item, depth + 1));
      list.push_back(std::move(value));
    }
    return list;
  }

  absl::StatusOr<Json> Map(const yaml_node_t& node, int depth) {
    Json map = Json::object();
    for (const yaml_node_pair_t* pair = node.data.mapping.pairs.start;
         pair < node.data.mapping.pairs.top; ++pair) {
      const yaml_node_t* key = yaml_document_get_node(&document_, pair->key);
      if (key == nullptr || key->type != YAML_SCALAR_NODE) {
        return absl::InvalidArgumentError("a key is no string");
      }
      std::string name(reinterpret_cast<const char*>(key->data.scalar.value),
                       key->data.scalar.length);
      ASSIGN_OR_RETURN(Json value, Convert(pair->value, depth + 1));
      if (!map.emplace(std::move(name), std::move(value)).second) {
        return absl::InvalidArgumentError("a key is there twice");
      }
    }
    return map;
  }

  yaml_document_t& document_;
  size_t nodes_ = 0;
};

absl::Status Damaged(const yaml_parser_t& parser) {
  return absl::InvalidArgumentError(
      Cat("no valid YAML: ", parser.problem != nullptr ? parser.problem : "damaged", " in line ",
          parser.problem_mark.line + 1));
}

// A walk that keeps nothing and stops at the first thing too many: the library's own time grows
// with the square of the depth.
absl::Status CheckShape(yaml_parser_t& parser) {
  int depth = 0;
  for (size_t events = 0;; ++events) {
    yaml_event_t event;
    if (yaml_parser_parse(&parser, &event) == 0) return Damaged(parser);
    const yaml_event_type_t type = event.type;
    yaml_event_delete(&event);
    if (type == YAML_STREAM_END_EVENT) return absl::OkStatus();
    if (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT) ++depth;
    if (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT) --depth;
    if (depth > kMaxYamlDepth) return absl::InvalidArgumentError("it nests too deep");
    if (events > 2 * kMaxNodes) return absl::InvalidArgumentError("it has too many values");
  }
}

absl::StatusOr<Json> Load(yaml_parser_t& parser) {
  yaml_document_t document;
  if (yaml_parser_load(&parser, &document) == 0) return Damaged(parser);
  const absl::Cleanup delete_document = [&] { yaml_document_delete(&document); };
  return Converter(document).Convert(1, 0);
}

// What `read` makes of the text with a parser of its own.
template <typename Read>
auto Parse(std::string_view text, Read read) -> decltype(read(std::declval<yaml_parser_t&>())) {
  yaml_parser_t parser;
  if (yaml_parser_initialize(&parser) == 0) return absl::ResourceExhaustedError("out of memory");
  const absl::Cleanup delete_parser = [&] { yaml_parser_delete(&parser); };
  yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()),
                               text.size());
  return read(parser);
}

}  // namespace

absl::StatusOr<Json> ParseYaml(std::string_view text, std::string_view name) {
  RETURN_IF_ERROR(Annotate(Parse(text, CheckShape), name));
  absl::StatusOr<Json> value = Parse(text, Load);
  if (!value.ok()) return Annotate(value.status(), name);
  return value;
}

}  // namespace crisp
