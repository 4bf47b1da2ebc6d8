//! What columns show, in the words of upstream's table (`descriptions.txt` was taken down from a kube-apiserver 1.36.2: `# DEFINITION`,
//! then a column in each line, its name and a tab before the description).
use std::{collections::HashMap, sync::OnceLock};

use crate::{Column, kinds};

const TEXT: &str = include_str!("descriptions.txt");

/// The columns of a kind with their descriptions, if these say more than the columns' names.
pub(crate) fn described(definition: &str) -> Option<&'static [Column]> {
    static ALL: OnceLock<HashMap<&'static str, Vec<Column>>> = OnceLock::new();
    ALL.get_or_init(read).get(definition).map(Vec::as_slice)
}

fn read() -> HashMap<&'static str, Vec<Column>> {
    let mut all = HashMap::new();
    for section in TEXT.split("# ").skip(1) {
        let Some((definition, lines)) = section.split_once('\n') else {
            continue;
        };
        let mut columns = kinds::printer(definition).columns.to_vec();
        for (name, said) in lines.lines().filter_map(|line| line.split_once('\t')) {
            if let Some(column) = columns.iter_mut().find(|column| column.name == name) {
                // Few have lines of their own; they are made once.
                column.description = if said.contains("\\n") {
                    Box::leak(said.replace("\\n", "\n").into_boxed_str())
                } else {
                    said
                };
            }
        }
        all.insert(definition, columns);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_of_a_column() {
        let all = read();
        assert!(all.len() > 50);
        for section in TEXT.split("# ").skip(1) {
            let (definition, lines) = section.split_once('\n').unwrap();
            for line in lines.lines() {
                let (name, _) = line.split_once('\t').unwrap();
                assert!(
                    all[definition].iter().any(|column| column.name == name),
                    "{definition} {name}"
                );
            }
        }
        let map = described("io.k8s.api.core.v1.ConfigMap").unwrap();
        assert!(
            map[1]
                .description
                .starts_with("Data contains the configuration data.")
        );
        assert_eq!(described("io.k8s.api.core.v1.Unknown"), None);
    }
}
