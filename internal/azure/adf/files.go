package adf

import (
	"cmp"
	"path"
	"strings"
)

// fileSource are the files of a copy.
type fileSource struct {
	Container any        `json:"container"`
	Folder    any        `json:"folder,omitempty"`
	File      any        `json:"file,omitempty"`
	Pattern   string     `json:"pattern,omitempty"`
	Recursive bool       `json:"recursive"`
	Format    string     `json:"format"`
	CSV       *csvFormat `json:"csv,omitempty"`
}

type csvFormat struct {
	Delimiter string `json:"delimiter"`
	Quote     string `json:"quote"`
	Escape    string `json:"escape"`
	Header    bool   `json:"header"`
	Null      string `json:"null"`
	Encoding  string `json:"encoding"`
}

// fileFormats pairs dataset types with formats and source types.
var fileFormats = map[string]struct{ format, source string }{
	"DelimitedText": {"csv", "DelimitedTextSource"}, "Parquet": {"parquet", "ParquetSource"}, "Json": {"json", "JsonSource"},
}

// files reads the selection of files and their format. They are in a container of the lake's storage account.
func (l *lowering) files(r *reader, p *place, kind string) *fileSource {
	d := p.props
	format, ok := fileFormats[p.dataset.Type]
	if !ok || kind != format.source {
		l.refuse(r.place("type"), "Use DelimitedText, Parquet or Json.", "%s: type %q cannot read dataset %q of type %q", r.what, kind, p.dataset.Name, p.dataset.Type)
		return nil
	}
	location := d.inner("location")
	location.text("type")
	s := &fileSource{Format: format.format}
	s.Container = cmp.Or(location.text("fileSystem"), location.text("container"))
	folder, file := location.text("folderPath"), location.text("fileName")
	location.rest()
	store := r.inner("storeSettings")
	store.text("type")
	if wildcard := strings.Trim(store.text("wildcardFolderPath"), "/"); wildcard != "" {
		folder, file = wildcard, ""
	}
	s.Pattern = store.text("wildcardFileName")
	if s.Pattern != "" {
		file = ""
	}
	s.Recursive = store.flag("recursive", true)
	store.rest("maxConcurrentConnections", "disableMetricsCollection")
	s.Folder, s.File = strings.Trim(folder, "/"), file
	if s.Container == "" {
		l.refuse(d.at, "", "dataset %q names no file system", p.dataset.Name)
	}
	if clean := path.Clean("/" + folder + "/" + file); strings.Contains(clean+"/", "/../") || strings.Contains("/"+folder+"/"+file+"/", "/../") {
		l.refuse(d.at, "", "dataset %q has a path that leaves its container", p.dataset.Name)
	}
	settings := r.inner("formatSettings")
	settings.text("type")
	settings.rest("compressionProperties")
	d.value("compressionCodec") // Spark tells by the name of a file
	d.value("compressionLevel")
	if format.format == "csv" {
		s.CSV = d.csv()
	} else {
		d.value("encodingName")
	}
	return s
}

func (r *reader) csv() *csvFormat {
	f := &csvFormat{Delimiter: cmp.Or(r.text("columnDelimiter"), ","), Quote: `"`, Escape: `"`, Header: r.flag("firstRowAsHeader", false), Null: r.text("nullValue"),
		Encoding: cmp.Or(r.text("encodingName"), "UTF-8")}
	if r.has("quoteChar") {
		f.Quote = r.text("quoteChar")
	}
	if r.has("escapeChar") {
		f.Escape = r.text("escapeChar")
	}
	r.value("rowDelimiter")
	return f
}
