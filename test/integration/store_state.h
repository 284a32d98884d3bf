// StoreState: what the image store holds, in the database and on the disk, so that a test can
// compare before and after. Layers are named by their content, not by the numbers that they happen
// to have. Reads the files of a daemon, also while it runs. Any thread.
#pragma once

#include <set>
#include <string>

namespace crisp {

// One line for every image, name, layer of an image, layer, lease, and for every folder of a layer
// (with a digest of its tree, or with the words that no row knows it).
std::multiset<std::string> StoreState(const std::string& root);

}  // namespace crisp
