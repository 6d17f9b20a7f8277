// What a master keeps for the next one: written, read again, and not believed where it is not ours.

#include "supervisor/kept_generations.hpp"

#include "config/load.hpp"
#include "tests/unit/temp_dir.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sys/stat.h>

namespace topsman::supervisor {
namespace {

constexpr core::Generation kFirst{1};
constexpr core::Generation kSecond{2};

class KeptGenerationsTest : public testing::Test {
  protected:
    KeptGenerationsTest() {
        path_ = generations_path(dir_.path(), "shop");
        environment_.cpus = 3;
        environment_.variables = {{"COLOR", "blue"}, {"UNUSED", "password"}};
        first_ = load("one");
        second_ = load("two");
        legacy_.current = core::Version{second_, kSecond, {{"web", kSecond}}};
        legacy_.base = core::Version{first_, kFirst, {{"web", kFirst}}};
        legacy_.failure = "web/0: new worker exited with code 3";
        legacy_.goes_back = true;
        legacy_.paused = {"web"};
        legacy_.ends = {{"web", "paused: \"quoted\"\n"}};
        specs_[kFirst] = specs_of(first_);
        specs_[kSecond] = specs_of(second_);
    }

    config::Config load(const std::string& argument) const {
        const std::string text = "cluster: shop\npools:\n  web:\n    command: [./serve, " +
                                 argument +
                                 ", '${COLOR}']\n    workers: auto\n    env_file: extra.env\n";
        config::Loaded loaded = config::load_text(text, dir_.path("shop.yaml"), environment_);
        EXPECT_TRUE(loaded.config) << (loaded.errors.empty() ? "" : loaded.errors[0].text());
        return loaded.config.value();
    }

    static Specs specs_of(const config::Config& config) {
        Specs specs;
        for (const config::Pool& pool : config.pools) {
            specs[pool.name] =
                restore_spec(pool, config.origin, {{"TOKEN", "secret \xff"}}).value();
        }
        return specs;
    }

    Result<void> write() const { return write_generations(path_, legacy_, specs_, second_); }

    std::string content() const {
        std::ifstream file(path_);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    void put(const std::string& text) const { std::ofstream(path_) << text; }

    std::string refusal() const {
        const auto kept = read_generations(path_);
        return kept ? "" : kept.error().message;
    }

    test::TempDir dir_;
    std::string path_;
    config::Environment environment_;
    config::Config first_;
    config::Config second_;
    core::Legacy legacy_;
    std::map<core::Generation, Specs> specs_;
};

TEST_F(KeptGenerationsTest, WhatIsReadIsWhatWasWritten) {
    legacy_.base->config.pools[0].workers = 7;  // it had been scaled
    ASSERT_TRUE(write());
    const auto kept = read_generations(path_);
    ASSERT_TRUE(kept) << kept.error().message;
    EXPECT_EQ(kept->file, second_);
    EXPECT_EQ(kept->legacy.current.config, second_);
    EXPECT_EQ(kept->legacy.current.config.pools[0].workers, 3U) << "auto is what it was";
    EXPECT_EQ(kept->legacy.current.generation, kSecond);
    EXPECT_EQ(kept->legacy.current.pools, legacy_.current.pools);
    ASSERT_TRUE(kept->legacy.base);
    EXPECT_EQ(kept->legacy.base->config, legacy_.base->config);
    EXPECT_FALSE(kept->legacy.previous);
    EXPECT_TRUE(kept->legacy.goes_back);
    EXPECT_EQ(kept->legacy.failure, legacy_.failure);
    EXPECT_EQ(kept->legacy.paused, legacy_.paused);
    EXPECT_EQ(kept->legacy.ends, legacy_.ends);
    for (const core::Generation generation : {kFirst, kSecond}) {
        const SpecPtr spec = kept->find(generation, "web");
        ASSERT_NE(spec, nullptr);
        EXPECT_EQ(spec->pool, specs_[generation]["web"]->pool);
        EXPECT_EQ(spec->env_file, specs_[generation]["web"]->env_file);
        EXPECT_EQ(spec->fingerprint, specs_[generation]["web"]->fingerprint);
    }
    EXPECT_EQ(kept->find(kFirst, "mail"), nullptr);
    EXPECT_EQ(kept->find(core::Generation{3}, "web"), nullptr);
}

TEST_F(KeptGenerationsTest, OnlyTheMasterMayLook) {
    ASSERT_TRUE(write());

    struct stat status {};

    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    EXPECT_EQ(content().find("password"), std::string::npos) << "no variable that it does not name";
}

TEST_F(KeptGenerationsTest, TheSameTextIsWrittenOnce) {
    legacy_.current.config = legacy_.base->config = load("one");
    specs_[kSecond] = specs_of(first_);
    ASSERT_TRUE(write_generations(path_, legacy_, specs_, first_));
    const std::string text = content();
    const auto first = text.find("./serve");
    ASSERT_NE(first, std::string::npos);
    EXPECT_EQ(text.find("./serve", first + 1), std::string::npos);
}

TEST_F(KeptGenerationsTest, AFileThatIsFoundElsewhereIsTheSame) {
    ASSERT_TRUE(write());
    auto kept = read_generations(path_).value();
    kept.move_to("/elsewhere/shop.yaml");
    EXPECT_EQ(kept.file.file, "/elsewhere/shop.yaml");
    EXPECT_EQ(kept.legacy.base->config.file, "/elsewhere/shop.yaml");
    EXPECT_EQ(kept.legacy.current.config.pools[0].exec.working_directory, dir_.path())
        << "what is relative in it is meant from where it was";
}

TEST_F(KeptGenerationsTest, NothingKeptIsNoTrouble) {
    EXPECT_EQ(read_generations(path_).error().code, std::errc::no_such_file_or_directory);
}

TEST_F(KeptGenerationsTest, WhatAnotherMayHaveWrittenIsNotRead) {
    ASSERT_TRUE(write());
    ASSERT_EQ(::chmod(path_.c_str(), 0660), 0);
    EXPECT_NE(refusal().find("only its owner"), std::string::npos);
    ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
    ASSERT_EQ(::rename(path_.c_str(), (path_ + ".real").c_str()), 0);
    ASSERT_EQ(::symlink((path_ + ".real").c_str(), path_.c_str()), 0);
    EXPECT_NE(refusal().find("only its owner"), std::string::npos);
}

TEST_F(KeptGenerationsTest, WhatMakesNoSenseIsRefusedWithASentence) {
    ASSERT_TRUE(write());
    const std::string good = content();
    const auto changed = [&](const std::string& what, const std::string& by) {
        std::string text = good;
        const auto found = text.find(what);
        EXPECT_NE(found, std::string::npos) << what;
        put(text.replace(found, what.size(), by));
        return refusal();
    };
    for (const auto& [what, by] : std::vector<std::pair<std::string, std::string>>{
             {"\"format\":1", "\"format\":2"},
             {"\"read\":", "\"read\":9"},
             {"\"read\":", "\"read\":-"},
             {"\"goes_back\":true", "\"goes_back\":1"},
             {"\"workers\":3", "\"workers\":0"},
             {"\"generation\":2,\"workers\"", "\"generation\":7,\"workers\""},
             {"\"pool\":\"web\"", "\"pool\":\"mail\""},
             {"\"failure\"", "\"Failure\""}}) {
        EXPECT_EQ(changed(what, by), path_ + ": is not what this version of topsman writes")
            << what << " -> " << by;
    }
    EXPECT_NE(changed("command", "commando").find("commando"), std::string::npos);
    put(good.substr(0, good.size() / 2));
    EXPECT_EQ(refusal(), path_ + ": is not what this version of topsman writes");
    put("");
    EXPECT_EQ(refusal(), path_ + ": is not what this version of topsman writes");
}

TEST_F(KeptGenerationsTest, ItIsWholeOrAsItWas) {
    ASSERT_TRUE(write());
    const std::string before = content();
    ASSERT_EQ(::mkdir((path_ + ".new").c_str(), 0700), 0);
    const auto written = write();
    ASSERT_FALSE(written);
    EXPECT_NE(written.error().message.find(path_), std::string::npos);
    EXPECT_EQ(content(), before);
}

}  // namespace
}  // namespace topsman::supervisor
