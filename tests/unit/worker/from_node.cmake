# The snippets of worker/from-node.md, cut out of the page: those in C++ are functions of one program,
# each of those in JavaScript is a file for node.
set(page ${PROJECT_SOURCE_DIR}/worker/from-node.md)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page})
find_program(NODE NAMES node nodejs)

# cut(TEXT FROM TO OUT): what is between the first FROM and the next TO; nothing without FROM.
function(cut text from to out)
  set(${out} "" PARENT_SCOPE)
  string(FIND "${text}" "${from}" begin)
  if(NOT begin EQUAL -1)
    string(LENGTH "${from}" skip)
    math(EXPR begin "${begin} + ${skip}")
    string(SUBSTRING "${text}" ${begin} -1 rest)
    string(FIND "${rest}" "${to}" end)
    string(SUBSTRING "${rest}" 0 ${end} rest)
    set(${out} "${rest}" PARENT_SCOPE)
  endif()
endfunction()

set(functions "")
set(calls "")
set(names "")
file(READ ${page} text)
string(FIND "${text}" "\n## " at)
while(NOT at EQUAL -1)
  math(EXPR at "${at} + 4")
  string(SUBSTRING "${text}" ${at} -1 text)
  string(FIND "${text}" "\n## " at)
  string(SUBSTRING "${text}" 0 ${at} section)
  string(FIND "${section}" "\n" end)
  string(SUBSTRING "${section}" 0 ${end} name)
  string(TOLOWER "${name}" name)
  string(MAKE_C_IDENTIFIER "${name}" name)
  cut("${section}" "```cpp\n" "```" cpp)
  cut("${section}" "```js\n" "```" js)
  if(cpp STREQUAL "" OR js STREQUAL "")
    message(FATAL_ERROR "${page}: \"${name}\" has not both sides")
  endif()
  list(APPEND names ${name})
  string(APPEND functions "void ${name}([[maybe_unused]] topsman::Worker worker) {\n${cpp}}\n\n")
  string(APPEND calls "    if (std::string_view(argv[1]) == \"${name}\") {\n"
    "        return ${name}(worker), 0;\n    }\n")
  set(script ${CMAKE_CURRENT_BINARY_DIR}/from_node_${name}.cjs)
  file(GENERATE OUTPUT ${script} CONTENT
    "const assert = require('node:assert');\n\
const { Worker, MessageChannel, BroadcastChannel } = require('node:worker_threads');\n${js}")
  if(NODE)
    add_test(NAME from_node_${name}.js COMMAND ${NODE} ${script})
  else()
    add_test(NAME from_node_${name}.js COMMAND sh -c "echo skipped: no node; exit 77")
  endif()
  set_tests_properties(from_node_${name}.js PROPERTIES LABELS unit TIMEOUT 60 SKIP_RETURN_CODE 77)
endwhile()

file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/from_node.cpp CONTENT "#undef NDEBUG
#include <topsman/worker.hpp>

#include <cassert>
#include <mutex>
#include <string>
#include <thread>

using namespace std::chrono_literals;

namespace {

std::chrono::steady_clock::time_point in(std::chrono::nanoseconds time) {
    return std::chrono::steady_clock::now() + time;
}

${functions}}  // namespace

int main(int /*argc*/, char** argv) {
    const topsman::Worker worker = topsman::Worker::attach().value();
${calls}    return 1;
}
")
add_executable(from_node ${CMAKE_CURRENT_BINARY_DIR}/from_node.cpp)
target_link_libraries(from_node PRIVATE topsman_worker)
add_dependencies(tests_unit from_node)
foreach(name IN LISTS names)
  add_test(NAME from_node_${name}.cpp COMMAND from_node ${name})
  set_tests_properties(from_node_${name}.cpp PROPERTIES LABELS unit TIMEOUT 60)
endforeach()
