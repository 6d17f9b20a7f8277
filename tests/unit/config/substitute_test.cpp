#include "loading.hpp"

#include <gmock/gmock.h>

namespace topsman::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> command(const std::string& argument) {
    return load("pools:\n  web:\n    listeners: [a]\n    command: [sleep, '" + argument +
                "']\nlisteners: {a: {address: '127.0.0.1:0'}}\n")
        .config.value()
        .pools[0]
        .exec.command;
}

TEST(Substitute, TakesValuesFromTheEnvironment) {
    EXPECT_THAT(command("${HOME}/x"), ElementsAre("sleep", "/root/x"));
    EXPECT_THAT(command("${NONE:-7}"), ElementsAre("sleep", "7"));
    EXPECT_THAT(command("${EMPTY:-7}"), ElementsAre("sleep", "7"));
    EXPECT_THAT(command("${EMPTY}"), ElementsAre("sleep", ""));
    EXPECT_THAT(command("${NONE:-}"), ElementsAre("sleep", ""));
}

TEST(Substitute, LeavesAloneWhatIsNoReference) {
    EXPECT_THAT(command("$HOME $$ $"), ElementsAre("sleep", "$HOME $$ $"));
    EXPECT_THAT(command("$${HOME}"), ElementsAre("sleep", "${HOME}"));
    EXPECT_THAT(command("--fd=${LISTENER_FD:a}"), ElementsAre("sleep", "--fd=${LISTENER_FD:a}"));
}

TEST(Substitute, WorksForEveryKindOfValue) {
    EXPECT_EQ(load(pool("workers: ${NONE:-2}")).config->pools[0].workers, 2U);
}

TEST(Substitute, NeverTouchesKeys) {
    EXPECT_THAT(texts(load(pool("${HOME}: 2")).errors),
                ElementsAre(HasSubstr("4:5: pools.web.${HOME}: unknown key")));
}

TEST(Substitute, SaysWhatIsMissing) {
    EXPECT_THAT(
        texts(load(pool("workers: ${NONE}")).errors),
        testing::Contains("4:14: pools.web.workers: the variable NONE is not set: set it, or "
                          "write ${NONE:-default}; $${ stands for the characters "
                          "themselves"));
    EXPECT_THAT(texts(load(pool("user: ${A")).errors),
                testing::Contains(HasSubstr("a ${ without its }")));
    EXPECT_THAT(texts(load(pool("user: '${A B}'")).errors),
                testing::Contains(HasSubstr("\"${A B}\" is no reference")));
    EXPECT_THAT(texts(load(pool("environment: {FD: '${LISTENER_FD:a}'}")).errors),
                testing::Contains(HasSubstr("is for a pool's command")));
}

TEST(Substitute, CannotBeMadeToFillTheMemory) {
    Environment environment = small_machine();
    environment.variables["BIG"] = std::string(100'000, 'x');
    std::string list = "sleep";
    for (int i = 0; i < 40'000; ++i) {
        list += ",'${BIG}'";
    }
    const Loaded loaded =
        load_text("pools: {web: {command: [" + list + "]}}", "/a.yaml", environment);
    EXPECT_THAT(texts(loaded.errors), testing::Contains(HasSubstr("together exceed 4 MiB")));
}

}  // namespace
}  // namespace topsman::config
