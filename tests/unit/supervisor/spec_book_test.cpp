#include "supervisor/spec_book.hpp"

#include <gtest/gtest.h>

namespace topsman::supervisor {
namespace {

constexpr core::Generation kOlder{1};
constexpr core::Generation kNewer{2};

class SpecBookTest : public testing::Test {
  protected:
    static config::Pool web(const std::string& program) {
        config::Pool pool;
        pool.name = "web";
        pool.exec.command = {program};
        return pool;
    }

    static SpecPtr spec(const config::Pool& pool, std::uint64_t fingerprint) {
        auto made = std::make_shared<Spec>();
        made->pool = pool;
        made->fingerprint = fingerprint;
        return made;
    }

    static core::PoolView view(core::Generation generation) {
        core::PoolView pool;
        pool.name = "web";
        pool.generation = generation;
        return pool;
    }

    void install(core::Generation generation, const SpecPtr& prepared) {
        config::Config config;
        config.pools = {prepared->pool};
        book_.install({{"web", prepared}}, {view(generation)}, config);
    }

    SpecBook book_;
};

TEST_F(SpecBookTest, AnOlderGenerationIsKeptBesideTheNewest) {
    const SpecPtr old = spec(web("/bin/old"), 7);
    const SpecPtr fresh = spec(web("/bin/new"), 8);
    install(kOlder, old);
    install(kNewer, fresh);
    EXPECT_EQ(book_.find(kOlder, "web"), old);
    EXPECT_EQ(book_.find(kNewer, "web"), fresh);
    EXPECT_EQ(book_.find(kNewer, "mail"), nullptr);
    EXPECT_EQ(book_.find(core::Generation{3}, "web"), nullptr);
    EXPECT_EQ(book_.fingerprint(view(kNewer)), 8U);
    EXPECT_EQ(book_.fingerprint(view(core::Generation{3})), 0U);
}

TEST_F(SpecBookTest, WhatTheConfigurationInForceDoesNotSayIsNotInstalled) {
    config::Config config;
    config.pools = {web("/bin/new")};
    book_.install({{"web", spec(web("/bin/old"), 7)}}, {view(kOlder)}, config);
    EXPECT_EQ(book_.find(kOlder, "web"), nullptr);
}

TEST_F(SpecBookTest, WhatWasReadAgainReplacesOnlyTheSame) {
    const SpecPtr fresh = spec(web("/bin/new"), 8);
    install(kOlder, spec(web("/bin/old"), 7));
    install(kNewer, fresh);
    const SpecPtr again = spec(web("/bin/old"), 9);
    book_.renew({{kOlder, {{"web", again}, {"mail", again}}},
                 {kNewer, {{"web", again}}},
                 {core::Generation{3}, {{"web", again}}}});
    EXPECT_EQ(book_.find(kOlder, "web"), again);
    EXPECT_EQ(book_.find(kNewer, "web"), fresh) << "a reload was faster";
    EXPECT_EQ(book_.find(kOlder, "mail"), nullptr) << "nobody asked for it";
    EXPECT_EQ(book_.find(core::Generation{3}, "web"), nullptr);
}

TEST_F(SpecBookTest, OnlyWhatIsInUseIsKept) {
    install(kOlder, spec(web("/bin/old"), 7));
    install(kNewer, spec(web("/bin/new"), 8));
    book_.keep_only({kNewer});
    EXPECT_EQ(book_.find(kOlder, "web"), nullptr);
    EXPECT_NE(book_.find(kNewer, "web"), nullptr);
}

}  // namespace
}  // namespace topsman::supervisor
