-- YAML as core.yaml.decode reads it.
local core = require "konductor.core"
local spairs = require("konductor.text").spairs

local function decode(text)
  local value, word, sentence = core.yaml.decode(text, "FILE")
  assert.is_nil(word, sentence)
  return value
end

local function refused(text, word)
  local value, code, sentence = core.yaml.decode(text, "FILE")
  assert.is_nil(value)
  assert.equal(word or "config", code)
  return sentence
end

describe("YAML", function()
  it("is mappings, lists and scalars, in block and in flow form, and JSON", function()
    local same = { name = "x", list = { "a", { b = 1 } }, empty = {}, none = {} }
    assert.same(same, decode "name: x\nlist:\n- a\n- b: 1\nempty: {}\nnone: []\n")
    assert.same(same, decode '{name: x, list: [a, {b: 1}], empty: {}, none: []}')
    assert.same(same, decode '{\n\t"name": "x",\n\t"list": ["a", {"b": 1}], "empty": {}, "none": []}')
  end)

  it("has numbers, booleans and text as kubectl's parser tells them apart", function()
    for text, value in pairs {
      ["1"] = 1, ["-12"] = -12, ["+3"] = 3, ["1.5"] = 1.5, [".5"] = 0.5, ["1."] = 1, ["2e3"] = 2000,
      ["-1.5E-1"] = -0.15, ["0x1f"] = 31, ["0o17"] = 15, ["017"] = 15, ["0b101"] = 5, ["-0x10"] = -16, ["0"] = 0,
      [".inf"] = math.huge, ["-.Inf"] = -math.huge,
      ["true"] = true, ["Yes"] = true, ["on"] = true, ["FALSE"] = false, ["no"] = false, ["Off"] = false,
      ["x"] = "x", ["1.2.3"] = "1.2.3", ["1e"] = "1e", ["0x"] = "0x", ["09"] = 9, ["0b2"] = "0b2", ["."] = ".",
      ["-"] = nil, ["tRUE"] = "tRUE", ["y"] = true, ["N"] = false,
      ["2001-01-01"] = "2001-01-01", ["1_000"] = 1000, ["0x_1f"] = 31, ["_1"] = "_1", ["1_x"] = "1_x", ["+_1"] = 1,
      ["12:30"] = "12:30", ["0x1p3"] = "0x1p3", ["nan"] = "nan", ["infinity"] = "infinity",
      ["'1'"] = "1", ['"true"'] = "true", ["! 1"] = "1", ["!!str 1"] = "1", ["!!int '7'"] = 7, ["!!float 1"] = 1,
    } do
      assert.equal(value, decode(text), text)
    end
    local nan = decode ".nan"
    assert.is_true(nan ~= nan)
  end)

  it("has text in blocks, folded, escaped", function()
    assert.same({ a = "one\ntwo\n", b = "three four", c = "Aé\n" },
      decode 'a: |\n  one\n  two\nb: >-\n  three\n  four\nc: "\\x41\\u00e9\\n"\n')
  end)

  it("takes a key without a value as one that is not there", function()
    assert.same({ d = "x" }, decode "a:\nb: ~\nc: null\nd: x\n")
  end)

  it("says that nothing is there", function()
    for _, text in ipairs { "", "\n\n", "# only a comment\n", "---\n", "~\n", "\239\187\191" } do
      assert.equal("FILE is empty", refused(text, "absent"))
    end
  end)

  it("takes UTF-16 and a byte order mark", function()
    assert.same({ a = "b" }, decode "\255\254a\0:\0 \0b\0")
    assert.same({ a = "b" }, decode "\239\187\191a: b\n")
  end)
end)

describe("what is wrong is told with line and column", function()
  for text, words in spairs {
    ["a: 1\nb:\n\tc: 1\n"] = "FILE:3:1: not YAML: the line is indented by a tab, where YAML wants spaces",
    ["a: [1, 2\nb: 3\n"] = "FILE:2:2: not YAML: did not find expected ',' or ']'",
    ["a: b: c\n"] = "FILE:1:5: not YAML: mapping values are not allowed in this context",
    ["a: 'x\n"] = "not YAML: found unexpected end of stream",
    ["a: 1\na: 2\n"] = 'FILE:2:1: the key "a" stands twice',
    ["a:\nb: 1\na:\n"] = 'FILE:3:1: the key "a" stands twice',
    ["a: &x [1]\nb: *x\n"] = "FILE:2:4: aliases are not supported",
    ["a: &x {b: 1}\nc:\n  <<: *x\n"] = "FILE:3:7: aliases are not supported",
    ["&a [*a]\n"] = "FILE:1:5: aliases are not supported",
    ["*a : 1\n"] = "aliases are not supported",
    ["a: 1\n---\nb: 2\n"] = "FILE:2:1: there is more than one document",
    ["a: !foo 1\n"] = "FILE:1:4: tags other than",
    ["a: !!binary aGk=\n"] = "FILE:1:4: tags other than",
    ["a: !!set {x}\n"] = "FILE:1:4: tags other than",
    ["a: !!int x\n"] = "FILE:1:4: the value is not what its tag says",
    ["? [a]\n: 1\n"] = "FILE:1:3: a key must be text",
    ["- a\n-\n- b\n"] = "FILE:2:2: an element of the list is empty",
    ['a: "\\0"\n'] = "FILE:1:4: text with a NUL character",
    ['"\\0": 1\n'] = "FILE:1:1: text with a NUL character",
    ["a: \1\n"] = "FILE: not YAML: control characters are not allowed at byte",
    ["a: \255\n"] = "FILE: not YAML: invalid leading UTF-8 octet at byte 4",
  } do
    it((text:gsub("%c", { ["\n"] = "\\n", ["\t"] = "\\t", ["\1"] = "\\1" }):gsub("\255", "\\255")), function()
      local sentence = refused(text)
      assert.truthy(sentence:find(words, 1, true), sentence)
    end)
  end

  it("and what is nested too deeply ends with words, not with memory", function()
    assert.same("table", type(decode(("["):rep(64) .. ("]"):rep(64))))
    for _, pair in ipairs { { "[", "]" }, { "{a: ", "}" } } do
      assert.truthy(refused(pair[1]:rep(65) .. pair[2]:rep(65)):find("nested too deeply", 1, true))
      assert.truthy(refused(pair[1]:rep(200000)))
    end
    assert.truthy(refused(("- "):rep(100000)))
  end)
end)
