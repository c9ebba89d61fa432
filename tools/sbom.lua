-- Writes what is linked into the static program as SPDX 2.3: luajit tools/sbom.lua BUILD PREFIX PROGRAM >FILE
-- BUILD is the directory that it was built in, PREFIX that of tools/static-deps/build, PROGRAM the file that is shipped.
--
-- Nothing is listed by hand. The linker's map names each archive and object that it took; PREFIX/sources says which
-- source the archives there are made from, dpkg which package the others are of. One that belongs to none is an error.
-- With SOURCE_DATE_EPOCH the same inputs give the same bytes. docs/decisions/0034 says why it is so.

local build, prefix, program = arg[1], arg[2], arg[3]
if not program then
  io.stderr:write("usage: luajit tools/sbom.lua BUILD PREFIX PROGRAM\n")
  os.exit(64)
end

local function fail(sentence)
  io.stderr:write("sbom: ", sentence, "\n")
  os.exit(1)
end

local function read(path)
  local file = io.open(path, "rb") or fail("cannot read " .. path)
  local text = file:read("*a")
  file:close()
  return text
end

--- The output of a command without its last newline; nil when there is none.
local function ask(...)
  local words = {}
  for i, word in ipairs { ... } do
    words[i] = "'" .. word:gsub("'", "'\\''") .. "'"
  end
  local pipe = assert(io.popen(table.concat(words, " ") .. " 2>/dev/null"))
  local text = pipe:read("*a"):gsub("\n$", "")
  pipe:close()
  return text ~= "" and text or nil
end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

--- JSON with sorted keys; a table with a first element, or with none at all, is an array.
local function json(value, indent)
  if type(value) ~= "table" then
    return type(value) ~= "string" and tostring(value) or '"' .. value:gsub('[%c"\\]', function(c)
      return ESCAPES[c] or ("\\u%04x"):format(c:byte())
    end) .. '"'
  end
  local parts, deeper = {}, indent .. "  "
  for _, each in ipairs(value) do
    parts[#parts + 1] = json(each, deeper)
  end
  local array = #parts > 0 or next(value) == nil
  for key, each in pairs(array and {} or value) do
    parts[#parts + 1] = ('"%s": %s'):format(key, json(each, deeper))
  end
  if not array then
    table.sort(parts)
  end
  local open, close = (array and "[" or "{"), (array and "]" or "}")
  local inner = table.concat(parts, ",\n" .. deeper)
  return #parts == 0 and "[]" or ("%s\n%s%s\n%s%s"):format(open, deeper, inner, indent, close)
end

--- Every file that the linker took something of, as it is on the disk.
local function linked()
  local seen, files = {}, {}
  local map = read(build .. "/konductor.map")
  local members, memory = map:match("^(.-)\nLinker script and memory map\n(.*)$")
  local function add(path)
    path = ask("realpath", "--", path:sub(1, 1) == "/" and path or build .. "/" .. path) or path
    if not seen[path] then
      seen[path], files[#files + 1] = true, path
    end
  end
  for path in ("\n" .. (members or fail("the linker's map is of another kind"))):gmatch("\n(%S+)%([^()]*%)") do
    add(path)
  end
  for path in ("\n" .. memory):gmatch("\nLOAD (%S+%.o)%f[\n]") do
    add(path)
  end
  table.sort(files)
  return files
end

--- Archives of PREFIX by their name: which source, in which version.
local function built_here()
  local found = {}
  for archive, source, version in read(prefix .. "/sources/list"):gmatch("(%S+) (%S+) (%S+)\n") do
    found[archive] = { source = source, version = version, notice = ("%s/sources/%s.copyright"):format(prefix, source) }
  end
  return found
end

--- What a package of this machine has brought.
local function of_package(path)
  local owner = ask("dpkg-query", "-S", path) or ask("dpkg-query", "-S", (path:gsub("^/usr/", "/")))
    or fail(path .. " is linked and belongs to no package")
  local package = owner:match("^([^:,]+)")
  local source, version = (ask("dpkg-query", "-W", "-f", "${source:Package} ${source:Version}\n", package) or "")
    :match("^(%S+) (%S+)")
  return { source = source or fail("nothing is known of the package " .. package), version = version,
    notice = ("/usr/share/doc/%s/copyright"):format(package) }
end

--- The sources of all that is in the program, sorted by name; `files` are what was taken of each.
local function sources()
  local own, root, by_name, list = built_here(), ask("realpath", build), {}, {}
  local lib = ask("realpath", prefix .. "/lib") .. "/"
  local paths = linked()
  paths[#paths + 1] = read(build .. "/CMakeCache.txt"):match("\nARGPARSE:FILEPATH=([^\n]+)")
  for _, path in ipairs(paths) do
    if path:sub(1, #root + 1) ~= root .. "/" then
      local name = path:match("[^/]+$")
      local from = path:sub(1, #lib) == lib and (own[name] or fail(path .. " has no source")) or of_package(path)
      local known = by_name[from.source]
      if not known then
        known = { source = from.source, version = from.version, notice = from.notice, files = {} }
        by_name[from.source], list[#list + 1] = known, known
      elseif known.version ~= from.version then
        fail(("%s is linked in the versions %s and %s"):format(from.source, known.version, from.version))
      end
      table.insert(known.files, name)
    end
  end
  table.sort(list, function(a, b) return a.source < b.source end)
  return list
end

--- Of this machine's /etc/os-release: "debian-12".
local function distribution()
  local text = "\n" .. read("/etc/os-release")
  local function field(name) return text:match("\n" .. name .. '="?([^"\n]*)') or "" end
  return field("ID"), field("ID") .. "-" .. field("VERSION_ID"), field("PRETTY_NAME")
end

local function purl(source, id, release)
  local version = source.version:gsub("[^%w.~_-]", function(c) return ("%%%02X"):format(c:byte()) end)
  return ("pkg:deb/%s/%s@%s?arch=source&distro=%s"):format(id, source.source, version, release)
end

--- A library, and its notice as a licence of this document: Debian's file has texts, not names of SPDX's list.
local function library(source)
  local id, release, pretty = distribution()
  local name = source.source:gsub("[^%w.-]", "-")
  local package = {
    SPDXID = "SPDXRef-" .. name, name = source.source, versionInfo = source.version,
    supplier = "NOASSERTION", downloadLocation = "NOASSERTION", filesAnalyzed = false,
    licenseConcluded = "NOASSERTION", licenseDeclared = "LicenseRef-" .. name, copyrightText = "NOASSERTION",
    sourceInfo = ("%s: %s"):format(pretty, table.concat(source.files, ", ")),
    externalRefs = { { referenceCategory = "PACKAGE-MANAGER", referenceType = "purl",
      referenceLocator = purl(source, id, release) } },
  }
  local notice = { licenseId = "LicenseRef-" .. name, name = source.source .. " in " .. pretty,
    extractedText = read(source.notice) }
  return package, notice
end

local function document()
  local version = read(build .. "/CMakeCache.txt"):match("\nCMAKE_PROJECT_VERSION:STATIC=(%S+)")
  local hash = ask("sha256sum", program):match("^%x+")
  local parts = { hash:sub(1, 8), hash:sub(9, 12), "8" .. hash:sub(14, 16), "8" .. hash:sub(18, 20), hash:sub(21, 32) }
  local created = os.date("!%Y-%m-%dT%H:%M:%SZ", tonumber(os.getenv "SOURCE_DATE_EPOCH") or nil)
  local made = {
    spdxVersion = "SPDX-2.3", dataLicense = "CC0-1.0", SPDXID = "SPDXRef-DOCUMENT", name = "konductor-" .. version,
    documentNamespace = "urn:uuid:" .. table.concat(parts, "-"),
    creationInfo = { created = created, creators = { "Tool: konductor-sbom-" .. version } },
    packages = { {
      SPDXID = "SPDXRef-konductor", name = "konductor", versionInfo = version, packageFileName = "konductor",
      primaryPackagePurpose = "APPLICATION", checksums = { { algorithm = "SHA256", checksumValue = hash } },
      supplier = "NOASSERTION", downloadLocation = "NOASSERTION", filesAnalyzed = false,
      licenseConcluded = "NOASSERTION", licenseDeclared = "NOASSERTION", copyrightText = "NOASSERTION",
    } },
    hasExtractedLicensingInfos = {},
    relationships = { { spdxElementId = "SPDXRef-DOCUMENT", relationshipType = "DESCRIBES",
      relatedSpdxElement = "SPDXRef-konductor" } },
  }
  for _, source in ipairs(sources()) do
    local package, notice = library(source)
    table.insert(made.packages, package)
    table.insert(made.hasExtractedLicensingInfos, notice)
    table.insert(made.relationships, { spdxElementId = "SPDXRef-konductor", relatedSpdxElement = package.SPDXID,
      relationshipType = source.files[1]:find("%.lua$") and "CONTAINS" or "STATIC_LINK" })
  end
  return made
end

io.write(json(document(), ""), "\n")
