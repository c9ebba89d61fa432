-- The short way of reading a command line gives what argparse gives, or leaves it to argparse.
local args = require "konductor.cli.args"
local plain = require "konductor.cli.plain"

local function by_argparse(name, words)
  local parser = require "argparse"("konductor " .. name)
  args.options_of(name)(parser)
  local ok, given = parser:pparse(words)
  return ok and given or nil
end

local PLAIN = {
  run = {
    { "init.lua" },
    { "-" },
    { "" },
    { "@leader", "--listen", "off", "-q" },
    { "--store", "sqlite:a b", "init.lua", "-n", "shop", "-v" },
    { "init.lua", "--log-format", "json", "--log-level", "debug", "--grace", "5s", "--holder", "me", "--events", "e" },
    { "init.lua", "--holder", "" },
    { "-q", "-q", "init.lua" },
  },
  plan = {
    { "init.lua" },
    { "init.lua", "--output", "dot", "--offline" },
    { "-o", "svg", "init.lua", "--store", "sqlite" },
  },
  install = { { "/shared" } },
  completion = { { "bash" } },
}

local OTHERS = {
  run = {
    {}, { "a", "b" }, { "-h" }, { "--help", "a" }, { "a", "--store" }, { "a", "--store", "-q" }, { "a", "--store=x" },
    { "a", "-nshop" }, { "a", "-qv" }, { "a", "--log-format", "xml" }, { "a", "--lisen", "off" },
    { "a", "--list", "off" }, { "--namespace", "shop", "a", "-n", "other" },
    { "a", "--quiet=yes" }, { "a", "--", "b" }, { "a", "--store", "-" },
  },
  plan = { { "a", "-o", "png" }, { "--offline" } },
  completion = { { "tcsh" }, {} },
  probe = { { "/livez" }, {} },
}

describe("a plain command line", function()
  for name, lines in pairs(PLAIN) do
    for _, words in ipairs(lines) do
      it(("is read as argparse reads it: %s %s"):format(name, table.concat(words, " ")), function()
        local given = plain.read(args.options_of(name), words)
        assert.is_table(given)
        assert.same(by_argparse(name, words), given)
      end)
    end
  end
end)

describe("any other command line", function()
  for name, lines in pairs(OTHERS) do
    for _, words in ipairs(lines) do
      it(("is left to argparse: %s %s"):format(name, table.concat(words, " ")), function()
        assert.is_nil(plain.read(args.options_of(name), words))
      end)
    end
  end
end)

describe("a command that is described in words beyond the plain", function()
  it("is left to argparse", function()
    local function describe(parser)
      parser:option("--also"):count "*"
    end
    assert.is_nil(plain.read(describe, {}))
  end)
end)
