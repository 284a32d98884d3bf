// Holds the compiled CRI schema against testdata/cri-schema.tsv, line by line and in both
// directions: a number, type, label or deprecation that drifts from the published API would make
// this runtime talk past every client, silently.
#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "api/cri.pb.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

// "runtime.v1.Mount" -> "Mount", as the table writes types.
std::string WithoutPackage(std::string_view full_name) {
  constexpr std::string_view kPackage = "runtime.v1.";
  if (full_name.substr(0, kPackage.size()) == kPackage) full_name.remove_prefix(kPackage.size());
  return std::string(full_name);
}

std::string TypeOf(const FieldDescriptor& field) {
  if (field.is_map()) {
    const Descriptor* entry = field.message_type();
    return Cat("map<", TypeOf(*entry->FindFieldByNumber(1)), ",",
               TypeOf(*entry->FindFieldByNumber(2)), ">");
  }
  if (field.type() == FieldDescriptor::TYPE_MESSAGE)
    return WithoutPackage(field.message_type()->full_name());
  if (field.type() == FieldDescriptor::TYPE_ENUM)
    return WithoutPackage(field.enum_type()->full_name());
  return field.type_name();
}

class SchemaLines {
 public:
  explicit SchemaLines(const FileDescriptor& file) {
    for (int i = 0; i < file.service_count(); ++i) AddService(*file.service(i));
    for (int i = 0; i < file.enum_type_count(); ++i) AddEnum(*file.enum_type(i));
    for (int i = 0; i < file.message_type_count(); ++i) AddMessage(*file.message_type(i));
  }
  const std::multiset<std::string>& lines() const { return lines_; }

 private:
  void Add(std::string_view kind, std::string_view owner, std::string_view name,
           std::string_view number, std::string_view type, std::string_view label,
           std::string_view note) {
    lines_.insert(
        Cat(kind, "\t", owner, "\t", name, "\t", number, "\t", type, "\t", label, "\t", note));
  }

  void AddService(const ServiceDescriptor& service) {
    for (int i = 0; i < service.method_count(); ++i) {
      const MethodDescriptor& method = *service.method(i);
      const char* label = method.client_streaming()   ? "client-stream"
                          : method.server_streaming() ? "server-stream"
                                                      : "unary";
      Add("rpc", service.name(), method.name(), "",
          Cat(WithoutPackage(method.input_type()->full_name()), " -> ",
              WithoutPackage(method.output_type()->full_name())),
          label, method.options().deprecated() ? "deprecated" : "");
    }
  }

  void AddEnum(const EnumDescriptor& type) {
    for (int i = 0; i < type.value_count(); ++i) {
      Add("enum", WithoutPackage(type.full_name()), type.value(i)->name(),
          Cat(type.value(i)->number()), "", "",
          type.value(i)->options().deprecated() ? "deprecated" : "");
    }
  }

  void AddMessage(const Descriptor& message) {
    if (message.options().map_entry()) return;
    const std::string owner = WithoutPackage(message.full_name());
    if (message.field_count() == 0) Add("message", owner, "", "", "", "", "empty");
    for (int i = 0; i < message.field_count(); ++i) {
      const FieldDescriptor& field = *message.field(i);
      // A oneof or an optional field would change the wire's meaning; the table has none.
      EXPECT_EQ(field.containing_oneof(), nullptr) << field.full_name();
      Add("field", owner, field.name(), Cat(field.number()), TypeOf(field),
          field.is_repeated() && !field.is_map() ? "repeated" : "",
          field.options().deprecated() ? "deprecated" : "");
    }
    for (int i = 0; i < message.enum_type_count(); ++i) AddEnum(*message.enum_type(i));
    for (int i = 0; i < message.nested_type_count(); ++i) AddMessage(*message.nested_type(i));
  }

  std::multiset<std::string> lines_;
};

std::multiset<std::string> TableLines() {
  std::multiset<std::string> lines;
  std::ifstream table(CRISP_API_TESTDATA "/cri-schema.tsv");
  for (std::string line; std::getline(table, line);) {
    if (!line.empty() && line[0] != '#') lines.insert(line);
  }
  return lines;
}

TEST(CriSchema, EqualsTheTable) {
  const FileDescriptor& file = *runtime::v1::VersionRequest::descriptor()->file();
  EXPECT_EQ(file.package(), "runtime.v1");
  EXPECT_EQ(file.dependency_count(), 0);
  const std::multiset<std::string> compiled = SchemaLines(file).lines();
  const std::multiset<std::string> table = TableLines();
  ASSERT_GT(table.size(), 600u) << "testdata/cri-schema.tsv was not read whole";
  std::vector<std::string> missing, extra;
  std::set_difference(table.begin(), table.end(), compiled.begin(), compiled.end(),
                      std::back_inserter(missing));
  std::set_difference(compiled.begin(), compiled.end(), table.begin(), table.end(),
                      std::back_inserter(extra));
  EXPECT_THAT(missing, testing::IsEmpty()) << "in the table, not in cri.proto";
  EXPECT_THAT(extra, testing::IsEmpty()) << "in cri.proto, not in the table";
}

TEST(CriSchema, HasEveryRpc) {
  const FileDescriptor& file = *runtime::v1::VersionRequest::descriptor()->file();
  ASSERT_EQ(file.service_count(), 2);
  EXPECT_EQ(file.service(0)->method_count() + file.service(1)->method_count(), 43);
}

}  // namespace
}  // namespace crisp
