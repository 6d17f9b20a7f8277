#include "supervisor/control/table.hpp"

#include "supervisor/control/text.hpp"

#include <gtest/gtest.h>

namespace topsman::control {
namespace {

Table four_columns() {
    Table table({{"NAME", false, 9, false},
                 {"N", true, 5, false},
                 {"EMPTY", false, 7, false},
                 {"REMARK", false, 3, true}});
    table.add({{"a", Tint::Plain}, {"1", Tint::Plain}, {"", Tint::Plain}, {"", Tint::Plain}});
    table.add({{"größer", Tint::Good},
               {"1000", Tint::Plain},
               {"", Tint::Plain},
               {"a long remark on it", Tint::Plain}});
    return table;
}

TEST(TableTest, AlignsAndLeavesOutEmptyColumns) {
    EXPECT_EQ(four_columns().render(0, false),
              "NAME       N  REMARK\n"
              "a          1\n"
              "größer  1000  a long remark on it\n");
}

TEST(TableTest, CutsTheFlexibleColumnFirst) {
    EXPECT_EQ(four_columns().render(26, false),
              "NAME       N  REMARK\n"
              "a          1\n"
              "größer  1000  a long rema…\n");
}

TEST(TableTest, ThenDropsTheLeastImportant) {
    EXPECT_EQ(four_columns().render(15, false),
              "NAME       N\n"
              "a          1\n"
              "größer  1000\n");
    EXPECT_EQ(four_columns().render(10, false), "NAME\na\ngrößer\n");
}

TEST(TableTest, ColourDoesNotChangeTheAlignment) {
    std::string colored = four_columns().render(0, true);
    for (const char* escape : {"\x1b[2m", "\x1b[32m", "\x1b[0m"}) {
        for (std::size_t at; (at = colored.find(escape)) != std::string::npos;) {
            colored.erase(at, std::string_view(escape).size());
        }
    }
    EXPECT_EQ(colored, four_columns().render(0, false));
}

}  // namespace
}  // namespace topsman::control
