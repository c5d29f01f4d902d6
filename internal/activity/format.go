package activity

import (
	"cmp"
	"path"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/activity/folder"
	"github.com/flowehr/flowehr/internal/engine"
)

// fileFormat says how the files of a dataset are written.
type fileFormat struct {
	kind      string // csv, parquet, json
	delimiter string
	quote     string
	escape    string
	header    bool
	null      string
	gzip      bool
	encoding  string
}

// fileDatasets pairs dataset types with formats.
var fileDatasets = map[string]string{"DelimitedText": "csv", "Parquet": "parquet", "Json": "json"}

// readDataset takes location and format from a dataset on a folder.
func (f *filePlace) readDataset(ds engine.Dataset, p *properties) error {
	kind, ok := fileDatasets[ds.Type]
	if !ok {
		return refuse(CodeUnsupported, "dataset %q of type %q is not supported on %q, a folder; use DelimitedText, Parquet or Json", ds.Name, ds.Type, ds.LinkedService.Name)
	}
	location := p.inner("location")
	location.text("type")
	f.container = cmp.Or(location.text("fileSystem"), location.text("container"), location.text("bucketName"))
	f.folder, f.file = location.text("folderPath"), location.text("fileName")
	if err := location.rest(); err != nil {
		return err
	}
	if f.folder == "" && f.file == "" && f.container == "" { // the older form
		f.folder, f.file = p.text("folderPath"), p.text("fileName")
	}
	for _, part := range []string{f.container, f.folder, f.file} {
		if strings.Contains("/"+strings.ReplaceAll(part, `\`, "/")+"/", "/../") {
			return refuse(CodeInvalid, "dataset %q: path %q is %s", ds.Name, part, folder.ErrOutside)
		}
	}
	f.folder = strings.Trim(f.folder, "/")
	f.format.kind = kind
	if kind == "csv" {
		f.format.readCSV(p)
	}
	if codec := cmp.Or(p.text("compressionCodec"), p.inner("compression").text("type")); kind != "parquet" {
		switch strings.ToLower(codec) {
		case "", "none":
		case "gzip":
			f.format.gzip = true
		default:
			return refuse(CodeUnsupported, "dataset %q: compression %q is not supported here", ds.Name, codec)
		}
	}
	var known bool
	if f.format.encoding, known = encodings[strings.ToLower(cmp.Or(p.text("encodingName"), "UTF-8"))]; !known {
		return refuse(CodeUnsupported, "dataset %q: encoding %q is not supported here", ds.Name, p.text("encodingName"))
	}
	return p.rest("compressionLevel", "structure", "format")
}

// encodings are those that the lake reads, by Data Factory's names.
var encodings = map[string]string{
	"utf-8": "utf-8", "utf-8 without bom": "utf-8", "us-ascii": "utf-8", "iso-8859-1": "latin-1", "utf-16": "utf-16",
}

// readCSV reads how a delimited text is written. Without escapeChar a quote inside quotes is doubled, as nearly all
// programs write it; Data Factory would take a backslash, so definitions had better say it.
func (f *fileFormat) readCSV(p *properties) {
	f.delimiter = cmp.Or(p.text("columnDelimiter"), ",")
	f.quote, f.escape = `"`, `"`
	if p.has("quoteChar") {
		if f.quote = p.text("quoteChar"); len(f.quote) != 1 {
			p.wrong("quoteChar", "one character", f.quote)
		}
	}
	if p.has("escapeChar") {
		if f.escape = p.text("escapeChar"); len(f.escape) != 1 {
			p.wrong("escapeChar", "one character", f.escape)
		}
	}
	f.header = p.flag("firstRowAsHeader", false)
	f.null = p.text("nullValue")
	switch row := p.text("rowDelimiter"); row {
	case "", "\n", "\r\n", "\r":
	default:
		p.wrong("rowDelimiter", "a line break", row)
	}
}

// readStore takes the selection of files from a source's storeSettings. legacy flags stand in the source itself.
func (f filePlace) readStore(source *properties) (folder.Pattern, error) {
	p := source.inner("storeSettings")
	p.text("type")
	pattern := folder.Pattern{
		Folder: path.Join(f.container, f.folder), File: f.file,
		Folders: strings.Trim(p.text("wildcardFolderPath"), "/"), Name: p.text("wildcardFileName"),
		Recursive: p.flag("recursive", source.flag("recursive", true)),
	}
	if pattern.Folders != "" { // relative to the container, so it stands in for the dataset's own folder
		pattern.Folder, pattern.File = f.container, ""
	}
	if pattern.Name != "" {
		pattern.File = ""
	}
	var err error
	if pattern.ModifiedFrom, err = readTime(p, "modifiedDatetimeStart"); err != nil {
		return pattern, err
	}
	if pattern.ModifiedUntil, err = readTime(p, "modifiedDatetimeEnd"); err != nil {
		return pattern, err
	}
	if p.flag("enablePartitionDiscovery", false) {
		return pattern, refuse(CodeUnsupported, "%s: enablePartitionDiscovery is not supported here", p.where)
	}
	if p.flag("deleteFilesAfterCompletion", false) {
		return pattern, refuse(CodeUnsupported, "%s: deleteFilesAfterCompletion is not supported here: a source is only read", p.where)
	}
	return pattern, p.rest("maxConcurrentConnections", "disableMetricsCollection")
}

func readTime(p *properties, key string) (time.Time, error) {
	text := p.text(key)
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, refuse(CodeInvalid, "%s: %s %q is not a time", p.where, key, text)
}
