--- Through which proxy a server is reached, by the rules of Go's net/http, which kubectl follows. Pure.
---
--- HTTPS_PROXY (for http:// servers HTTP_PROXY) names it, NO_PROXY what is reached without one; the names in lower case
--- count when those in upper case are not set. The machine itself is never reached through a proxy. ALL_PROXY means
--- nothing to Go, and so nothing here.

local M = {}

local SCHEMES = { http = true, https = true, socks5 = true, socks5h = true }

--- Scheme, host without brackets, and port of a URL.
---@param url string
---@return string? scheme
---@return string? host
---@return string? port
function M.split(url)
  local scheme, authority = url:match("^(%a[%w+.-]*)://([^/?#]*)")
  if not scheme then
    return nil
  end
  authority = authority:match("@([^@]*)$") or authority
  local host, port = authority:match("^%[([%x:.%%]+)%]:?(%d*)$")
  if not host then
    host, port = authority:match("^([^:%[%]]+):?(%d*)$")
  end
  if not host then
    return nil
  end
  return scheme:lower(), host, port ~= "" and port or scheme:lower() == "http" and "80" or "443"
end

--- Checks the URL of a proxy. What is wrong is told without the URL, which may have a password in it.
---@param url string
---@return string? url     with its scheme
---@return string? fault
function M.check(url)
  if not url:find("://", 1, true) then
    url = "http://" .. url
  end
  local scheme, host = M.split(url)
  if not scheme or not host then
    return nil, "it is no URL; http://HOST:PORT was expected"
  elseif not SCHEMES[scheme] then
    return nil, ("its scheme is %s; there are http, https, socks5 and socks5h"):format(scheme)
  end
  return url
end

-- The bytes of an IPv4 address.
local function ipv4(text)
  local bytes = { text:match("^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$") }
  for i, byte in ipairs(bytes) do
    bytes[i] = tonumber(byte)
    if bytes[i] > 255 or (#byte > 1 and byte:byte() == 48) then
      return nil
    end
  end
  return #bytes == 4 and bytes or nil
end

local function add_groups(bytes, text)
  if text == "" then
    return true
  end
  for piece in (text .. ":"):gmatch "([^:]*):" do
    local v4 = piece:find(".", 1, true) and ipv4(piece)
    if v4 then
      for _, byte in ipairs(v4) do
        bytes[#bytes + 1] = byte
      end
    elseif piece:find("^%x%x?%x?%x?$") then
      local value = tonumber(piece, 16)
      bytes[#bytes + 1], bytes[#bytes + 2] = math.floor(value / 256), value % 256
    else
      return false
    end
  end
  return true
end

-- The bytes of an IPv6 address; of an IPv4 address inside one, the four.
local function ipv6(text)
  text = text:gsub("%%.*$", "")
  local head, tail = text:match("^(.-)::(.*)$")
  local bytes, rest = {}, {}
  if not add_groups(bytes, head or text) or (tail and not add_groups(rest, tail)) then
    return nil
  end
  local gap = 16 - #bytes - #rest
  if (tail and gap < 2) or (not tail and gap ~= 0) then
    return nil
  end
  for _ = 1, gap do
    bytes[#bytes + 1] = 0
  end
  for _, byte in ipairs(rest) do
    bytes[#bytes + 1] = byte
  end
  for i = 1, 12 do
    if bytes[i] ~= (i > 10 and 255 or 0) then
      return bytes
    end
  end
  return { bytes[13], bytes[14], bytes[15], bytes[16] }
end

--- The bytes of an address, 4 or 16; nil when it is none.
---@param text string
---@return integer[]?
function M.address(text)
  if text:find(":", 1, true) then
    return ipv6(text)
  end
  return ipv4(text)
end

local function is_loopback(host)
  if host == "localhost" then
    return true
  end
  local bytes = M.address(host)
  if not bytes then
    return false
  elseif #bytes == 4 then
    return bytes[1] == 127
  end
  for i = 1, 15 do
    if bytes[i] ~= 0 then
      return false
    end
  end
  return bytes[16] == 1
end

-- Whether the first `count` bits of two addresses are the same.
local function same_bits(a, b, count)
  if #a ~= #b then
    return false
  end
  for i = 1, #a do
    local bits = math.max(0, math.min(8, count - (i - 1) * 8))
    local unit = 2 ^ (8 - bits)
    if math.floor(a[i] / unit) ~= math.floor(b[i] / unit) then
      return false
    end
  end
  return true
end

local function in_network(entry, host)
  local base, count = entry:match("^(.+)/(%d+)$")
  local network, address = base and M.address(base), M.address(host)
  return network and address and tonumber(count) <= #network * 8 and same_bits(network, address, tonumber(count))
end

-- HOST or HOST:PORT. An IPv6 address stands in brackets only where a port follows.
local function entry_parts(entry)
  local host, port = entry:match("^%[(.+)%]:(%d+)$")
  if not host then
    host, port = entry:match("^([^:]+):(%d+)$")
  end
  return host or entry, port
end

local function ends_with(text, ending)
  return #text >= #ending and text:sub(-#ending) == ending
end

local function is_domain_match(name, host)
  if name:sub(1, 2) == "*." then
    name = name:sub(2)
  end
  if name:sub(1, 1) == "." then
    return ends_with(host, name)
  end
  return host == name or ends_with(host, "." .. name)
end

local function matches(entry, host, port)
  if entry == "*" then
    return true
  elseif entry:find("/", 1, true) then
    return in_network(entry, host)
  end
  local name, only_port = entry_parts(entry)
  if name == "" or (only_port and only_port ~= port) then
    return false
  end
  local own, other = M.address(name), M.address(host)
  if own and other then
    return same_bits(own, other, #own * 8)
  end
  return not own and not other and is_domain_match(name, host)
end

--- Whether NO_PROXY exempts a server.
---@param list string
---@param host string
---@param port string
---@return boolean
function M.is_exempt(list, host, port)
  if is_loopback(host) then
    return true
  end
  host = host:lower()
  for entry in list:gmatch "[^,]+" do
    entry = entry:match("^%s*(.-)%s*$"):lower()
    if entry ~= "" and matches(entry, host, port) then
      return true
    end
  end
  return false
end

local function variable(env, name)
  local upper = env[name]
  if upper and upper ~= "" then
    return upper, name
  end
  return env[name:lower()] or "", name:lower()
end

--- The proxy for a server out of the environment.
---@param server string   its URL
---@param env table<string, string>
---@return string|false|nil proxy  false: none; nil: what is named is no proxy
---@return string? sentence
function M.choose(server, env)
  local scheme, host, port = M.split(server)
  local url, name = variable(env, scheme == "http" and "HTTP_PROXY" or "HTTPS_PROXY")
  if url == "" or not scheme or M.is_exempt(variable(env, "NO_PROXY"), host, port) then
    return false
  elseif name == "HTTP_PROXY" and (env.REQUEST_METHOD or "") ~= "" then
    return false -- in a CGI program this variable is a header that anybody can send
  end
  local checked, fault = M.check(url)
  if not checked then
    return nil, ("%s: %s"):format(name, fault)
  end
  return checked
end

return M
