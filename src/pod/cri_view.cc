#include "pod/cri_view.h"

#include <google/protobuf/util/json_util.h>

namespace crisp {

namespace v1 = ::runtime::v1;

v1::PodSandboxState StateOf(const record::Pod& pod) {
  return pod.phase() == record::POD_READY ? v1::SANDBOX_READY : v1::SANDBOX_NOTREADY;
}

v1::ContainerState StateOf(const record::Container& container) {
  switch (container.phase()) {
    case record::CONTAINER_CREATING:
    case record::CONTAINER_READY:
    case record::CONTAINER_STARTING:
      return v1::CONTAINER_CREATED;
    case record::CONTAINER_UP:
      return v1::CONTAINER_RUNNING;
    case record::CONTAINER_DOWN:
      return v1::CONTAINER_EXITED;
    case record::CONTAINER_REMOVING:
      return container.finished_at() != 0 ? v1::CONTAINER_EXITED : v1::CONTAINER_CREATED;
    default:
      return v1::CONTAINER_UNKNOWN;
  }
}

v1::PodSandboxStatus StatusOf(const record::Pod& pod) {
  v1::PodSandboxStatus status;
  status.set_id(pod.id());
  *status.mutable_metadata() = pod.config().metadata();
  status.set_state(StateOf(pod));
  status.set_created_at(pod.created_at());
  const v1::NamespaceOption& options = pod.config().linux().security_context().namespace_options();
  *status.mutable_linux()->mutable_namespaces()->mutable_options() = options;
  // kubelet makes a new pod when a pod with a network of its own shows an empty address.
  if (options.network() != v1::NODE && pod.ips_size() > 0) {
    status.mutable_network()->set_ip(pod.ips(0));
    for (int i = 1; i < pod.ips_size(); ++i) {
      status.mutable_network()->add_additional_ips()->set_ip(pod.ips(i));
    }
  } else if (options.network() == v1::NODE) {
    status.mutable_network();
  }
  *status.mutable_labels() = pod.config().labels();
  *status.mutable_annotations() = pod.config().annotations();
  status.set_runtime_handler(pod.runtime_handler());
  return status;
}

v1::PodSandbox ItemOf(const record::Pod& pod) {
  v1::PodSandbox item;
  item.set_id(pod.id());
  *item.mutable_metadata() = pod.config().metadata();
  item.set_state(StateOf(pod));
  item.set_created_at(pod.created_at());
  *item.mutable_labels() = pod.config().labels();
  *item.mutable_annotations() = pod.config().annotations();
  item.set_runtime_handler(pod.runtime_handler());
  return item;
}

namespace {

// The image as the user named it; ids are told apart.
v1::ImageSpec ImageOf(const record::Container& container) {
  v1::ImageSpec image = container.config().image();
  image.set_image(container.image_name());
  return image;
}

}  // namespace

v1::ContainerStatus StatusOf(const record::Container& container) {
  v1::ContainerStatus status;
  status.set_id(container.id());
  *status.mutable_metadata() = container.config().metadata();
  status.set_state(StateOf(container));
  status.set_created_at(container.created_at());
  status.set_started_at(container.started_at());
  status.set_finished_at(container.finished_at());
  status.set_exit_code(container.exit_code());
  *status.mutable_image() = ImageOf(container);
  status.set_image_ref(container.image_ref());
  status.set_image_id(container.image_id());
  status.set_reason(container.reason());
  status.set_message(container.message());
  *status.mutable_labels() = container.config().labels();
  *status.mutable_annotations() = container.config().annotations();
  *status.mutable_mounts() = container.config().mounts();
  status.set_log_path(container.log_path());
  *status.mutable_resources()->mutable_linux() = container.resources();
  *status.mutable_user() = container.user();
  status.set_stop_signal(container.stop_signal());
  return status;
}

v1::Container ItemOf(const record::Container& container) {
  v1::Container item;
  item.set_id(container.id());
  item.set_pod_sandbox_id(container.pod_id());
  *item.mutable_metadata() = container.config().metadata();
  *item.mutable_image() = ImageOf(container);
  item.set_image_ref(container.image_ref());
  item.set_image_id(container.image_id());
  item.set_state(StateOf(container));
  item.set_created_at(container.created_at());
  *item.mutable_labels() = container.config().labels();
  *item.mutable_annotations() = container.config().annotations();
  return item;
}

Json JsonOf(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return Json();
  absl::StatusOr<Json> json = ParseJson(text, "message");
  return json.ok() ? *std::move(json) : Json();
}

}  // namespace crisp
