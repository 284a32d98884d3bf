// Inflate: gzip (ISA-L), zstd and uncompressed streams into a queue of plain bytes. The kind is
// seen in the first bytes, as everywhere in the container world, not believed from a media type.
// Any thread.
#pragma once

#include "absl/status/status.h"
#include "image/byte_queue.h"
#include "image/byte_source.h"

namespace crisp {

// Reads `source` to its end and fills `output`, which the caller closes. DataLoss if the stream is
// damaged or cut off.
absl::Status Inflate(ByteSource& source, ByteQueue& output);

}  // namespace crisp
