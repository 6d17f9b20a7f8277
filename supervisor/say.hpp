#pragma once

#include <functional>
#include <string>

namespace topsman {

/// Who is told what happens on the way, sentence by sentence: the log, or the operator.
using Say = std::function<void(const std::string& sentence)>;

}  // namespace topsman
