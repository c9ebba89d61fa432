local names = require "konductor.names"

local function refused(check, value, words)
  local got, code, sentence = check(value)
  assert.is_nil(got)
  assert.equal("usage", code)
  assert.truthy(sentence:find(words, 1, true), sentence)
  assert.falsy(sentence:find("%c"), "on one line")
end

describe("a name", function()
  it("is a DNS-1123 subdomain", function()
    for _, name in ipairs { "a", "0", "shop-leader", "shop.stage-1-init", "a.b.c", "a--b", ("x"):rep(253) } do
      assert.equal(name, names.check(name))
    end
  end)

  local bad = {
    { "", "is empty" },
    { ("x"):rep(254), "254 bytes is too long; at most 253" },
    { "Shop", '"S" at place 1 is not allowed; only a-z, 0-9, "-" and "." are, write "s"' },
    { "my_db", '"_" at place 3 is not allowed; only a-z, 0-9, "-" and "." are, write "-"' },
    { "a b", "a space at place 2" },
    { "a/b", '"/" at place 2' },
    { "caf\195\169", "byte 0xC3 at place 4" },
    { "a\0b", "byte 0x00 at place 2" },
    { "a\n", "byte 0x0A at place 2" },
    { "-a", 'starts with "-"' },
    { ".a", 'starts with "."' },
    { "a-", 'ends with "-"' },
    { "a.", 'ends with "."' },
    { "a..b", '"." at place 3 follows "."' },
    { "a.-b", '"-" at place 3 follows "."' },
    { "a-.b", '"." at place 3 follows "-"' },
  }
  for _, case in ipairs(bad) do
    it(("is refused as %q, with the byte and its place"):format(case[1]:sub(1, 20)), function()
      refused(names.check, case[1], case[2])
    end)
  end

  it("is refused when it is no text", function()
    refused(names.check, 7, "must be a string, not a number")
    refused(names.check, nil, "must be a string, not a nil")
  end)
end)

describe("a version", function()
  it("is any printable text without spaces, or none", function()
    for _, version in ipairs { "", "1", "v1.2.3-rc.1+build", "sha256:abc", "A/B@c", ("v"):rep(128) } do
      assert.equal(version, names.version(version))
    end
  end)

  it("is refused with the byte and its place", function()
    refused(names.version, "1 2", "a space at place 2")
    refused(names.version, "1\n", "byte 0x0A at place 2")
    refused(names.version, "\255", "byte 0xFF at place 1")
    refused(names.version, ("v"):rep(129), "129 bytes is too long; at most 128")
    refused(names.version, 1.5, "must be a string, not a number")
  end)
end)

describe("a label", function()
  it("is a key and a value, the key perhaps with a domain before it", function()
    assert.same({ key = "role", value = "leader" }, names.label "role=leader")
    assert.same({ key = "example.org/a_b.C", value = "1" }, names.label "example.org/a_b.C=1")
    assert.same({ key = ("k"):rep(63), value = ("v"):rep(63) }, names.label(("k"):rep(63) .. "=" .. ("v"):rep(63)))
  end)

  it("is refused when Kubernetes would refuse it", function()
    for _, label in ipairs {
      "", "role", "=leader", "role=", "role=a b", "-role=a", "role=a-", "a/b/c=d", "Example.org/a=b", "/a=b", "a/=b",
      "a=b=c",
      ("k"):rep(64) .. "=v", "k=" .. ("v"):rep(64),
    } do
      local value, word, sentence = names.label(label)
      assert.same({ nil, "usage" }, { value, word }, label)
      assert.truthy(sentence:find("bad label", 1, true))
    end
  end)
end)
