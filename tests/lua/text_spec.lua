local text = require "konductor.text"

describe("text", function()
  it("walks a table in ascending order of keys, numbers first", function()
    local seen = {}
    for key, value in text.spairs { b = 1, a = 2, [10] = 3, [2] = 4, c = 5 } do
      seen[#seen + 1] = key .. "=" .. value
    end
    assert.same({ "2=4", "10=3", "a=2", "b=1", "c=5" }, seen)
  end)

  it("walks a table that refuses to be asked for what it does not have", function()
    local refusing = setmetatable({ a = 1 }, { __index = function(_, key) error(tostring(key)) end })
    local seen = {}
    for key, value in text.spairs(refusing) do
      seen[key] = value
    end
    assert.same({ a = 1 }, seen)
  end)

  it("is clipped without cutting a character in two", function()
    assert.equal("abc", text.clip("abc", 3))
    assert.equal("ab", text.clip("abc", 2))
    assert.equal("a", text.clip("a\195\169b", 2))
    assert.equal("a\195\169", text.clip("a\195\169b", 3))
    assert.equal("", text.clip("\240\159\152\128", 3))
  end)

  it("is clipped to printable characters on one line", function()
    assert.equal("a b c?d?", text.clip("a\nb\tc\0d\255", 100))
    assert.equal("?(", text.clip("\195(", 10))
    assert.equal("a?31m\194\160", text.clip("a\194\15531m\194\160", 10))
    assert.equal('"\\x1B[\\xC2\\x9B"', text.quote "\27[\194\155")
  end)

  it("is made one line whose control characters are seen and obeyed by nobody", function()
    local line = text.line "by \27]0;x\7\nfake\194\155, \195\169\n\n"
    assert.equal("by \\x1b]0;x\\x07\\x0afake\\xc2\\x9b, \195\169", line)
    assert.equal("?", text.line "\155")
  end)

  it("is quoted on one line, printable and short", function()
    assert.equal('"a"', text.quote("a"))
    assert.equal('"a\\"b\\\\"', text.quote('a"b\\'))
    assert.equal('"\\n\\t\\x00\\xFF"', text.quote("\n\t\0\255"))
    assert.equal('"caf\195\169"', text.quote("caf\195\169"))
    assert.is_true(#text.quote(("x"):rep(131072)) < 100)
  end)
end)

describe("the nearest word", function()
  local words = { "after", "backoff", "retries", "run", "timeout", "ttl", "version" }
  local meant = {
    tll = "ttl", TTL = "ttl", retires = "retries", time_out = "timeout", timout = "timeout", verison = "version",
    ru = "run", aftre = "after", back_off = "backoff", timeouts = "timeout",
  }
  for typed, right in pairs(meant) do
    it(("to %s is %s"):format(typed, right), function()
      assert.equal(right, text.nearest(typed, words))
    end)
  end

  it("is the one that begins so, unless another is as near", function()
    assert.equal("priority", text.nearest("prio", { "ttl", "priority" }))
    assert.equal("namespace", text.nearest("name", { "namespace" }))
    assert.equal("name", text.nearest("name", { "namespace", "name" }))
    assert.is_nil(text.nearest("pr", { "priority" }))
  end)

  it("is not another of four letters, two of which differ", function()
    assert.is_nil(text.nearest("yaml", { "name" }))
    assert.equal("name", text.nearest("nmae", { "name" }))
  end)

  it("is none when nothing is near", function()
    assert.is_nil(text.nearest("xyz", words))
    assert.is_nil(text.nearest("environment", words))
    assert.is_nil(text.nearest("", words))
    assert.is_nil(text.nearest(("t"):rep(100000), words))
    assert.is_nil(text.nearest("a", {}))
  end)

  it("is the first of those that are equally near", function()
    assert.equal("ab", text.nearest("aa", { "ab", "ac" }))
  end)
end)
