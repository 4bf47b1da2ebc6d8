use std::path::Path;

use crate::Error;

/// A molecule that is docked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ligand {
    /// Its atoms and bonds in a line.
    pub smiles: String,
    /// Its name: letters, digits and dashes, as it becomes a file's name.
    pub name: String,
}

/// The molecules of a list: lines of `SMILES NAME`; what follows is a remark, and so are lines with `#` first.
pub(super) fn read(path: &Path) -> Result<Vec<Ligand>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Ligand>, Error> {
    let lines = text.lines().enumerate();
    let told = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let ligands: Vec<Ligand> = told
        .map(|(number, line)| {
            let mut words = line.split_whitespace();
            let wrong = || Error::Ligand {
                path: path.to_owned(),
                line: number + 1,
            };
            let smiles = words.next().ok_or_else(wrong)?.to_owned();
            let name = words.next().ok_or_else(wrong)?.to_owned();
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if !name.chars().all(plain) {
                return Err(wrong());
            }
            Ok(Ligand { smiles, name })
        })
        .collect::<Result<_, _>>()?;
    if ligands.is_empty() {
        return Err(Error::NoLigand {
            path: path.to_owned(),
        });
    }
    Ok(ligands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_molecules_and_remarks() {
        let path = Path::new("l.smi");
        let found = parse(path, "# drugs\n\nCC(=O)O acetic-acid C2H4O2\nC methane\n").unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|l| (l.smiles.as_str(), l.name.as_str()))
            .collect();
        assert_eq!(names, [("CC(=O)O", "acetic-acid"), ("C", "methane")]);
        for (text, says) in [
            ("", "l.smi: there is no molecule"),
            ("C methane\nCC\n", "l.smi:2: expected a SMILES and a name"),
            ("C ../../etc/passwd\n", "l.smi:1: expected"),
        ] {
            let error = parse(path, text).unwrap_err().to_string();
            assert!(error.starts_with(says), "{text}: {error}");
        }
    }
}
