local options = require "konductor.options"

local WHERE = { where = 'k.stage "x"' }

-- Asserts that a value is refused by a rule, with these words.
local function refused(rule, value, words)
  local checked, sentence = options.check({ o = rule }, { o = value }, WHERE)
  assert.is_nil(checked)
  assert.truthy(sentence:find(words, 1, true), sentence)
  assert.truthy(sentence:find('^k.stage "x": option "o"'), sentence)
  assert.falsy(sentence:find("%c"), "on one line")
end

local function read(rule, value)
  local checked, sentence = options.check({ o = rule }, { o = value })
  assert.is_table(checked, sentence)
  return checked.o
end

describe("a table of options", function()
  local schema = {
    ttl = options.duration { default = "15s", as = "ttl_ms" },
    retries = options.integer { min = 0 },
    name = options.name { required = true },
  }

  it("gives what was asked, with defaults, under the names the library uses", function()
    assert.same({ ttl_ms = 15000, name = "a" }, options.check(schema, { name = "a" }))
    assert.same({ ttl_ms = 2000, retries = 3, name = "a" },
      options.check(schema, { name = "a", ttl = "2s", retries = 3 }))
  end)

  it("does not touch the table it was given", function()
    local given = { name = "a" }
    options.check(schema, given)
    assert.same({ name = "a" }, given)
  end)

  it("refuses what is not declared, with the nearest right word", function()
    local checked, sentence = options.check(schema, { name = "a", tll = "2s" }, WHERE)
    assert.is_nil(checked)
    assert.equal('k.stage "x": unknown option "tll"; did you mean "ttl"?', sentence)
  end)

  it("names all options when none is near", function()
    local _, sentence = options.check(schema, { name = "a", colour = "red" })
    assert.equal('unknown option "colour"; there are name, retries, ttl', sentence)
    assert.equal('unknown option "a"; there are none', select(2, options.check({}, { a = 1 })))
  end)

  it("refuses what is missing, saying what is expected", function()
    local _, sentence = options.check(schema, {})
    assert.equal('option "name" is missing; a name (a string) is expected', sentence)
    assert.equal(sentence, select(2, options.check(schema, nil)))
  end)

  it("tells every mistake, in the same order each time", function()
    local _, first, all = options.check(schema, { tll = 1, retries = -1, ttl = 5, "x", [print] = 1 }, WHERE)
    assert.equal(6, #all)
    assert.equal(first, all[1])
    for _ = 1, 5 do
      assert.same(all, select(3,
        options.check(schema, { [print] = 1, "x", ttl = 5, retries = -1, tll = 1 }, WHERE)))
    end
  end)

  it("refuses values without a name unless a list is declared", function()
    local _, sentence = options.check(schema, { name = "a", "x" })
    assert.equal('value "x" has no name; write NAME = "x"', sentence)
    local listed = { [options.LIST] = options.argv { as = "argv" }, ttl = options.duration() }
    assert.same({ argv = { "gunicorn", "shop" }, ttl = 1000 },
      options.check(listed, { "gunicorn", "shop", ttl = "1s" }))
    assert.same({}, options.check(listed, {}))
  end)

  it("sees a hole in a list, as an unset variable leaves it", function()
    local listed = { [options.LIST] = options.argv { as = "argv" } }
    local _, sentence = options.check(listed, { "a", nil, "c" })
    assert.equal("the list: word 2 of the command is nil", sentence)
  end)

  it("refuses keys that cannot be names", function()
    assert.equal("true cannot be the name of an option", select(2, options.check({}, { [true] = 1 })))
  end)

  it("must be a table", function()
    for _, value in ipairs { "text", 7, true, print } do
      local checked, sentence = options.check(schema, value, WHERE)
      assert.is_nil(checked)
      assert.truthy(sentence:find('^k.stage "x": a table of options is expected, not '))
    end
  end)

  it("raises at the caller's line when asked to", function()
    local function caller()
      options.must(schema, {}, WHERE)
    end
    local line = debug.getinfo(caller, "S").linedefined + 1
    local ok, message = pcall(caller)
    assert.is_false(ok)
    local expected = ('options_spec.lua:%d: k.stage "x": option "name" is missing'):format(line)
    assert.truthy(message:find(expected, 1, true), message)
    assert.equal("a", options.must(schema, { name = "a" }).name)
  end)
end)

describe("the rule of", function()
  it("a string: text, not empty, without a byte 0", function()
    assert.equal("x", read(options.string(), "x"))
    assert.equal("", read(options.string { empty = true }, ""))
    refused(options.string(), 7, "is 7; a string is expected")
    refused(options.string(), {}, "is a table; a string is expected")
    refused(options.string(), "", "it is empty")
    refused(options.string(), "a\0", "a byte 0")
    refused(options.string { max = 2 }, "abc", "3 bytes long; at most 2")
  end)

  it("a name and a version", function()
    assert.equal("a.b", read(options.name(), "a.b"))
    refused(options.name(), "A", "at place 1")
    refused(options.name(), true, "is true; a name (a string) is expected")
    assert.equal("v1", read(options.version(), "v1"))
    refused(options.version(), 1.5, "is 1.5; a version (a string) is expected")
    refused(options.version(), "a b", "a space at place 2")
  end)

  it("a boolean: false as well", function()
    assert.is_false(read(options.boolean(), false))
    assert.is_true(read(options.boolean { default = true }, nil))
    assert.is_false(read(options.boolean { default = true }, false))
    refused(options.boolean(), "yes", 'is "yes"; true or false is expected')
  end)

  it("an integer: whole, within its range", function()
    local rule = options.integer { min = 0, max = 5 }
    assert.equal(0, read(rule, 0))
    assert.equal(5, read(rule, 5))
    for _, bad in ipairs { -1, 6, 1.5, "3", math.huge, 0 / 0 } do
      refused(rule, bad, "a whole number from 0 to 5 is expected")
    end
    refused(options.integer { min = 1 }, 0, "from 1 on")
    refused(options.integer { max = 1 }, 2, "up to 1")
    refused(options.integer(), 2 ^ 60, "a whole number is expected")
  end)

  it("a duration: within its range, as milliseconds", function()
    local rule = options.duration { min = "3s", max = "1h" }
    assert.equal(3000, read(rule, "3s"))
    assert.equal(3600000, read(rule, "60m"))
    refused(rule, "2s", '"2s" is too short; the shortest is 3s')
    refused(rule, "2h", '"2h" is too long; the longest is 1h')
    refused(rule, "10", 'did you mean "10s"?')
    refused(rule, 10, 'write "10s"')
  end)

  it("an enumeration: one of its words, with the nearest one", function()
    local rule = options.enum { "AtLeastOnce", "AtMostOnce" }
    assert.equal("AtMostOnce", read(rule, "AtMostOnce"))
    refused(rule, "atmostonce", 'did you mean "AtMostOnce"?')
    refused(rule, "never", 'is "never"; "AtLeastOnce" or "AtMostOnce" is expected')
    refused(rule, 1, "is 1;")
  end)

  it("a function", function()
    assert.equal(print, read(options.func(), print))
    refused(options.func(), "print", "a function is expected")
  end)

  it("a command: a list of strings, numbers spelled out", function()
    local rule = options.argv()
    assert.same({ "backup", "--fence", "12", "" }, read(rule, { "backup", "--fence", 12, "" }))
    assert.same({ "x", "9007199254740992" }, read(rule, { "x", 2 ^ 53 }))
    refused(rule, "ls -l", 'it is the string "ls -l"; write a list of words')
    refused(rule, {}, "the command is empty")
    refused(rule, { "" }, "the program of the command is empty")
    refused(rule, { "a", {} }, "word 2 of the command is a table")
    refused(rule, { "a", 1.5 }, "word 2 of the command is 1.5")
    refused(rule, { "a", "b\0c" }, "word 2 of the command is")
    refused(rule, { "a", [3] = "c" }, "word 2 of the command is nil")
    refused(rule, 7, "is 7; a command such as")
  end)

  it("a name or a list of names, as a list", function()
    local rule = options.names()
    assert.same({ "a" }, read(rule, "a"))
    assert.same({ "b", "a" }, read(rule, { "b", "a" }))
    assert.same({}, read(rule, {}))
    refused(rule, { "a", "a" }, '"a" is named twice')
    refused(rule, { "A" }, "at place 1")
    refused(rule, { a = "b" }, "a name or a list of names is expected")
    refused(rule, { 7 }, "must be a string")
    refused(rule, 7, "a name or a list of names is expected")
  end)

  it("an environment: names to texts", function()
    local rule = options.env()
    assert.same({ A = "1", B_2 = "x", C = "1", D = "0" }, read(rule, { A = 1, B_2 = "x", C = true, D = false }))
    refused(rule, { ["A=B"] = "x" }, '"A=B" is not the name of an environment variable')
    refused(rule, { "x" }, "1 is not the name of an environment variable")
    refused(rule, { A = {} }, "variable A is a table; a string is expected")
    refused(rule, { A = "\0" }, "variable A is")
    refused(rule, "A=B", "a table such as")
  end)

  it("alternatives: the first that accepts, the mistake of the one that says most", function()
    local rule = options.either(options.argv(), options.func())
    assert.same({ "a" }, read(rule, { "a" }))
    assert.equal(print, read(rule, print))
    refused(rule, "a b", "it is the string")
    refused(rule, 7, 'is 7; a command such as { "flyway", "migrate" } or a function is expected')
    assert.is_false(read(options.either(options.integer(), options.boolean()), false))
  end)

  it("something required, made of one that is not", function()
    local _, sentence = options.check({ o = options.required(options.boolean()) }, {})
    assert.equal('option "o" is missing; true or false is expected', sentence)
  end)
end)
