#include "config/check.hpp"

#include "loading.hpp"

#include <gmock/gmock.h>

#include <sstream>

namespace topsman::config {
namespace {

using testing::HasSubstr;

struct Said {
    int status;
    std::string out;
    std::string err;
};

Said check(const std::string& file, bool json = false) {
    std::ostringstream out;
    std::ostringstream err;
    const int status = check_command(file, json, out, err, small_machine());
    return {status, out.str(), err.str()};
}

TEST(Check, AGoodFileIsSummedUp) {
    const TempFolder folder;
    const std::string file = folder.write(
        "shop.yaml",
        "shared: { counters: [a, b] }\npools: { x: { command: [sleep], workers: 3 }, y: { command: "
        "[sleep] } }");
    const Said said = check(file);
    EXPECT_EQ(said.status, 0);
    EXPECT_EQ(said.out, file + ": ok: cluster shop, 2 pools, 4 workers, 2 counters\n");
    EXPECT_EQ(said.err, "");
}

TEST(Check, AWarningIsNoFailure) {
    const TempFolder folder;
    const std::string file = folder.write("a.yaml", "pools: { x: { command: [nosuchprogram] } }");
    const Said said = check(file);
    EXPECT_EQ(said.status, 0);
    EXPECT_THAT(said.out, HasSubstr(": ok: "));
    EXPECT_THAT(said.err,
                HasSubstr(file + ":1:24: pools.x.command[0]: warning: nosuchprogram is not"));
}

TEST(Check, ABadFileIsAConfigurationError) {
    const TempFolder folder;
    const std::string file = folder.write("a.yaml", "pools: { x: { command: sleep } }");
    const Said said = check(file);
    EXPECT_EQ(said.status, 78);
    EXPECT_EQ(said.out, "");
    EXPECT_THAT(said.err, HasSubstr(file + ":1:24: pools.x.command: a command is a list"));
    EXPECT_EQ(check(folder.path("none.yaml")).status, 78);
    EXPECT_EQ(check(folder.path("")).status, 78);
}

TEST(Check, JsonHoldsEverything) {
    const TempFolder folder;
    const std::string file = folder.write("a.yaml", "pools: { x: { command: [nosuchprogram] } }");
    const Said good = check(file, true);
    EXPECT_EQ(good.status, 0);
    EXPECT_EQ(good.err, "");
    EXPECT_THAT(good.out,
                HasSubstr(R"("ok":true,"cluster":"a","pools":[{"name":"x","workers":1}])"));
    EXPECT_THAT(good.out,
                HasSubstr(R"("warnings":[{"line":1,"column":24,"path":"pools.x.command[0]")"));
    const Said bad = check(folder.path("none.yaml"), true);
    EXPECT_EQ(bad.status, 78);
    EXPECT_THAT(bad.out,
                HasSubstr(R"("ok":false,"errors":[{"line":0,"column":0,"path":"","sentence")"));
}

}  // namespace
}  // namespace topsman::config
